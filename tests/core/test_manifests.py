"""What is signed cannot be changed, exchanged or signed by another: every field, every byte, every scope."""

from __future__ import annotations

import secrets
import struct
from dataclasses import replace

import msgspec
import pytest

from modelpool.core.manifests import (
    LEVELS,
    Manifest,
    SignedManifest,
    SigningKey,
    UntrustedManifest,
    VerifyingKey,
    digest_interface,
    verify,
)
from modelpool.core.signature import ModelSignature, TensorSpec

WORKER = SigningKey("worker", bytes(32))
INGEST = SigningKey("ingest", bytes([1]) * 32)


def manifest(key: SigningKey = WORKER, *, trust: str = "trained") -> Manifest:
    return Manifest(
        key_id=key.id, tenant_id="t", model_id="m", version_id="v", number="1", format="sklearn", serving_format="onnx",
        trust=trust, sha256="ab" * 32, size_bytes="10", interface_sha256="cd" * 32, made_at="2026-01-01T00:00:00Z",
    )  # fmt: skip


def test_what_was_signed_is_what_is_read() -> None:
    made = manifest()
    assert verify(WORKER.sign(made), key=WORKER.verifying) == made
    assert Manifest.from_bytes(made.to_bytes()) == made


def test_the_bytes_are_fixed_for_ever() -> None:
    """A change of the order or of the names' number would make every version in the field unsigned."""
    data = manifest().to_bytes()
    assert data.startswith(b"modelpool manifest\n\0\0\0\x011\0\0\0\x17worker-")
    assert len(Manifest.__struct_fields__) == 17
    assert data.count(b"\0\0\0\0") >= 2


@pytest.mark.parametrize("name", [name for name in Manifest.__struct_fields__ if name != "key_id"])
def test_no_field_can_be_changed(name: str) -> None:
    signed = WORKER.sign(manifest())
    other = msgspec.structs.replace(manifest(), **{name: "uploaded-data"})
    with pytest.raises(UntrustedManifest, match=r"signature of its manifest is wrong"):
        verify(replace(signed, data=other.to_bytes()), key=WORKER.verifying)


def test_no_bit_can_be_changed() -> None:
    signed = WORKER.sign(manifest())
    for at in range(len(signed.data)):
        data = bytearray(signed.data)
        data[at] ^= 1
        with pytest.raises(UntrustedManifest):
            verify(replace(signed, data=bytes(data)), key=WORKER.verifying)
    with pytest.raises(UntrustedManifest):
        verify(replace(signed, signature=signed.signature[:-1]), key=WORKER.verifying)


def test_text_cannot_move_from_one_field_to_the_next() -> None:
    one = msgspec.structs.replace(manifest(), tenant_id="ab", model_id="c")
    other = msgspec.structs.replace(manifest(), tenant_id="a", model_id="bc")
    assert one.to_bytes() != other.to_bytes()


@pytest.mark.parametrize(("key", "trust"), [(INGEST, "trained"), (WORKER, "uploaded-data"), (WORKER, "quarantined")])
def test_a_key_signs_only_what_its_scope_allows(key: SigningKey, trust: str) -> None:
    with pytest.raises(UntrustedManifest, match="may not sign"):
        key.sign(manifest(key, trust=trust))


def test_a_scope_that_was_overstepped_is_seen_when_verifying() -> None:
    """The ingest node is an attacker's: it signs what it likes with the key it has."""
    forged = manifest(INGEST)
    signature = INGEST._key.sign(forged.to_bytes())
    with pytest.raises(UntrustedManifest, match="a key for ingest may not call a version 'trained'"):
        verify(SignedManifest(forged.to_bytes(), signature, INGEST.id), key=INGEST.verifying)
    as_worker = VerifyingKey("worker", INGEST.verifying.public)
    assert as_worker.id not in (INGEST.id, WORKER.id)  # the scope is part of the name of a key


def test_the_name_of_another_key_does_not_help() -> None:
    signed = INGEST.sign(manifest(INGEST, trust="uploaded-data"))
    with pytest.raises(UntrustedManifest):
        verify(signed, key=WORKER.verifying)
    with pytest.raises(UntrustedManifest):
        verify(replace(signed, key_id=WORKER.id), key=WORKER.verifying)


@pytest.mark.parametrize(
    "data",
    [b"", b"modelpool manifest\n", b"x" * 300_000, b"modelpool manifest\n\xff\xff\xff\xff", b"modelpool manifest\n\0"],
)
def test_broken_manifests_are_refused_not_crashed_on(data: bytes) -> None:
    with pytest.raises(UntrustedManifest):
        Manifest.from_bytes(data)
    with pytest.raises(UntrustedManifest):
        verify(SignedManifest(data, WORKER._key.sign(data), WORKER.id), key=WORKER.verifying)


def test_a_manifest_of_another_schema_or_length_is_refused() -> None:
    later = msgspec.structs.replace(manifest(), schema="2").to_bytes()
    longer = manifest().to_bytes() + struct.pack(">I", 1) + b"x"
    for data in (later, longer):
        with pytest.raises(UntrustedManifest, match="schema"):
            Manifest.from_bytes(data)


def test_random_bytes_are_refused() -> None:
    for _ in range(200):
        with pytest.raises(UntrustedManifest):
            Manifest.from_bytes(b"modelpool manifest\n" + secrets.token_bytes(60))


def test_public_keys_are_written_and_read() -> None:
    assert VerifyingKey.parse(str(WORKER.verifying)) == WORKER.verifying
    for text in ("", "worker", "root:" + "0" * 64, "worker:" + "0" * 63, "worker:" + "G" * 64, "worker:" + "0" * 65):
        with pytest.raises(ValueError, match=r"key|not one of"):
            VerifyingKey.parse(text)


def test_every_level_has_one_scope() -> None:
    levels = [level for scope in LEVELS.values() for level in scope]
    assert sorted(levels) == ["trained", "uploaded-code", "uploaded-data"]


def test_the_interface_is_what_a_model_takes_and_gives() -> None:
    one = ModelSignature((TensorSpec("a", "float64"),), (TensorSpec("predict", "int64"),), classes=(1, 2))
    same = ModelSignature.from_dict({**one.to_dict(), "classes": [1.0, 2], "example": {"a": 3}})
    assert digest_interface(one) == digest_interface(same)
    others = [
        ModelSignature((TensorSpec("b", "float64"),), one.outputs, classes=(1, 2)),
        ModelSignature((TensorSpec("a", "float32"),), one.outputs, classes=(1, 2)),
        ModelSignature((TensorSpec("a", "float64", (-1, 2)),), one.outputs, classes=(1, 2)),
        ModelSignature((TensorSpec("a", "float64", nullable=True),), one.outputs, classes=(1, 2)),
        ModelSignature(one.inputs, one.outputs, classes=(2, 1)),
        ModelSignature(one.inputs, one.outputs, classes=("1", "2")),
        ModelSignature(one.outputs, one.inputs, classes=(1, 2)),
    ]
    assert len({digest_interface(signature) for signature in [one, *others]}) == 8
