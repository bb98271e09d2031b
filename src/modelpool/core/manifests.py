"""What the maker of a version signs, so that neither its row nor its files can be exchanged unnoticed.

A manifest says which bytes a version consists of, whose it is, what formats they have and how far they are trusted.
It is signed with Ed25519: training workers and ingest nodes hold private keys, everybody else only public ones. A key
has a scope; that of an ingest node cannot make anything ``trained``.

The signed bytes are a fixed head, then every field in the order of the class as UTF-8 text behind its length in four
bytes. There is one way only to write a manifest, and reading refuses every other.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from modelpool.core.errors import ArtifactCorrupt
from modelpool.core.signature import ModelSignature

SCHEMA = "1"
_HEAD = b"modelpool manifest\n"
_LENGTH = struct.Struct(">I")
_MAX_BYTES = 256 * 1024

Scope = Literal["worker", "ingest"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
LEVELS: Mapping[str, frozenset[str]] = {
    "worker": frozenset({"trained"}),
    "ingest": frozenset({"uploaded-data", "uploaded-code"}),
}
"""Which levels of trust a key of each scope may sign."""


Fault = Literal["unsigned", "unknown_key", "manifest", "integrity"]
"""No manifest; one by a key that is not trusted here; one that is wrong or of something else; wrong bytes."""


class UntrustedManifest(ArtifactCorrupt):
    """A version is not what its maker signed, or nobody can tell: its files are not parsed.

    The message is half a sentence about the version: "its manifest cannot be read".
    """

    code = "untrusted_manifest"

    def __init__(self, detail: str, *, fault: Fault = "manifest") -> None:
        super().__init__(detail)
        self.fault: Fault = fault


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The fields, all of them text, in the order in which they are signed.

    Sizes and the number are decimal, digests are SHA-256 in hexadecimal, ids are UUIDs; what there is none of is empty.
    ``interface_sha256`` is that of what goes in and out (:func:`digest_interface`), ``libraries`` is JSON, sorted.
    """

    schema: str = SCHEMA
    key_id: str
    tenant_id: str
    model_id: str
    version_id: str
    number: str
    format: str
    serving_format: str
    trust: str
    sha256: str
    size_bytes: str
    compiled_sha256: str = ""
    compiled_size_bytes: str = ""
    interface_sha256: str
    job_id: str = ""
    libraries: str = "{}"
    made_at: str

    def to_bytes(self) -> bytes:
        """Return the one form of it that is signed."""
        texts = [text.encode() for text in msgspec.structs.astuple(self)]
        return _HEAD + b"".join(_LENGTH.pack(len(text)) + text for text in texts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read what :meth:`to_bytes` wrote; raise :class:`UntrustedManifest` for anything else."""
        names = cls.__struct_fields__
        try:
            texts = [text.decode() for text in _pieces(data)]
        except (UnicodeDecodeError, struct.error, ValueError) as error:
            raise UntrustedManifest("its manifest cannot be read") from error
        if len(texts) != len(names) or texts[0] != SCHEMA:
            raise UntrustedManifest(f"its manifest is not of schema {SCHEMA}")
        return cls(**dict(zip(names, texts, strict=True)))

    def differences(self, other: Manifest) -> tuple[str, ...]:
        """Return the names of the fields that differ, but for who signed and when."""
        names = [name for name in self.__struct_fields__ if name not in ("key_id", "made_at")]
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """The bytes, the signature over them and the id of the key, as a version's row holds them."""

    data: bytes
    signature: bytes
    key_id: str


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half of a key: ``public`` are its 32 bytes."""

    scope: Scope
    public: bytes

    @property
    def id(self) -> str:
        """The scope, and the beginning of a digest that nobody can choose: ``worker-0123456789abcdef``."""
        return f"{self.scope}-{hashlib.sha256(self.scope.encode() + self.public).hexdigest()[:16]}"

    def __str__(self) -> str:
        return f"{self.scope}:{self.public.hex()}"

    @classmethod
    def parse(cls, text: str) -> VerifyingKey:
        """Read ``worker:<64 hexadecimal digits>``; raise ``ValueError`` that says what is wrong."""
        scope, _, digits = text.strip().partition(":")
        if scope not in LEVELS:
            raise ValueError(f"{scope[:20]!r} is not one of {', '.join(SCOPES)}")
        if len(digits) != 64 or not all(digit in "0123456789abcdef" for digit in digits):
            raise ValueError("a public key is 64 hexadecimal digits behind the scope and a colon")
        return cls("worker" if scope == "worker" else "ingest", bytes.fromhex(digits))


class SigningKey:
    """The private half: signs manifests of the levels that its scope allows."""

    def __init__(self, scope: Scope, private: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.verifying = VerifyingKey(scope, self._key.public_key().public_bytes_raw())
        self.id = self.verifying.id

    def sign(self, manifest: Manifest) -> SignedManifest:
        """Sign; raise :class:`UntrustedManifest` where this key may not, or the manifest names another one."""
        if manifest.key_id != self.id or manifest.trust not in LEVELS[self.verifying.scope]:
            raise UntrustedManifest(f"the key {self.id} may not sign a version as {manifest.trust!r}")
        data = manifest.to_bytes()
        return SignedManifest(data, self._key.sign(data), self.id)


def verify(signed: SignedManifest, *, key: VerifyingKey) -> Manifest:
    """Return what was signed; raise :class:`UntrustedManifest` unless ``key`` signed just that and was allowed to."""
    if len(signed.data) > _MAX_BYTES or signed.key_id != key.id:
        raise UntrustedManifest("its manifest is not of the key that it names")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signed.signature, signed.data)
    except (InvalidSignature, ValueError) as error:
        raise UntrustedManifest("the signature of its manifest is wrong") from error
    manifest = Manifest.from_bytes(signed.data)
    if manifest.key_id != key.id:
        raise UntrustedManifest("its manifest names another key than the one that signed it")
    if manifest.trust not in LEVELS[key.scope]:
        raise UntrustedManifest(f"a key for {key.scope} may not call a version {manifest.trust!r}")
    return manifest


def digest_interface(signature: ModelSignature) -> str:
    """Return a digest of the names, types and shapes that go in and out, in their order, and of the class labels."""
    digest = hashlib.sha256()
    for word in _interface_words(signature):
        text = word.encode()
        digest.update(_LENGTH.pack(len(text)) + text)
    return digest.hexdigest()


def _interface_words(signature: ModelSignature) -> Iterator[str]:
    for side, specs in (("in", signature.inputs), ("out", signature.outputs)):
        for spec in specs:
            yield from (side, spec.name, spec.dtype, " ".join(map(str, spec.shape)), str(spec.nullable))
    for label in signature.classes or ():  # a database may write the float 1.0 as it likes, so equal ones are one
        is_number = isinstance(label, int | float) and not isinstance(label, bool)
        yield f"{float(label)!r}" if is_number else f"{type(label).__name__} {label}"


def _pieces(data: bytes) -> Iterator[bytes]:
    if not data.startswith(_HEAD):
        raise ValueError("another head")
    at = len(_HEAD)
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + length > len(data):
            raise ValueError("a field is longer than the rest")
        yield data[at : at + length]
        at += length
