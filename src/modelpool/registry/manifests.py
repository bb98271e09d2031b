"""Signing what is registered, and proving that a row and its files are what was signed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from modelpool.core.manifests import (
    Manifest,
    SignedManifest,
    SigningKey,
    UntrustedManifest,
    VerifyingKey,
    digest_interface,
    verify,
)
from modelpool.core.signature import ModelSignature
from modelpool.registry.models import ModelVersion
from modelpool.registry.signing import trusted_keys

MANIFEST_FIELDS = ("manifest", "manifest_signature", "manifest_key")
"""The columns that :func:`sign_version` fills."""


def sign_version(version: ModelVersion, *, key: SigningKey) -> None:
    """Fill the columns of the manifest, unsaved; raise :class:`UntrustedManifest` where the key may not sign it."""
    signed = key.sign(_manifest_of(version, key_id=key.id))
    version.manifest, version.manifest_signature, version.manifest_key = signed.data, signed.signature, signed.key_id


def verify_version(version: ModelVersion, *, keys: Mapping[str, VerifyingKey] | None = None) -> Manifest:
    """Return the manifest of a version that is just what its maker signed, as far as its row tells.

    The row, and the rows of its files as far as they are loaded with it, are compared with the manifest; the bytes
    are compared with its digests by whoever reads them. Takes about a quarter of a millisecond.

    Raises :class:`UntrustedManifest`.
    """
    if version.manifest is None or version.manifest_signature is None:
        raise UntrustedManifest("nobody has signed it", fault="unsigned")
    key = (trusted_keys() if keys is None else keys).get(version.manifest_key)
    if key is None:
        raise UntrustedManifest(
            f"it is signed with the key {version.manifest_key!r}, which this node does not trust", fault="unknown_key"
        )
    signed = SignedManifest(bytes(version.manifest), bytes(version.manifest_signature), version.manifest_key)
    manifest = verify(signed, key=key)
    different = manifest.differences(_manifest_of(version, key_id=key.id))
    if different:
        raise UntrustedManifest(f"its {', '.join(different)} is not what was signed")
    return manifest


def _manifest_of(version: ModelVersion, *, key_id: str) -> Manifest:
    """Return what the rows say now."""
    artifact, compiled = version.artifact, version.compiled
    if artifact is None or version.sha256 != artifact.sha256:
        raise UntrustedManifest("its file is not the one that was signed")
    try:
        interface = digest_interface(ModelSignature.from_dict(version.signature))
    except msgspec.ValidationError as error:
        raise UntrustedManifest("its signature cannot be read") from error
    return Manifest(
        key_id=key_id,
        tenant_id=str(version.tenant_id),
        model_id=str(version.model_id),
        version_id=str(version.pk),
        number=str(version.number),
        format=version.format,
        serving_format=version.serving_format,
        trust=str(version.trust),
        sha256=artifact.sha256,
        size_bytes=str(artifact.size_bytes),
        compiled_sha256=compiled.sha256 if compiled else "",
        compiled_size_bytes=str(compiled.size_bytes) if compiled else "",
        interface_sha256=interface,
        job_id=str(version.job_id or ""),
        libraries=msgspec.json.encode(version.libraries, order="deterministic").decode(),
        made_at=version.created_at.isoformat(),
    )
