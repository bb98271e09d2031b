"""A version, copied into another tenant's pool: its files, and what is known of it.

The copy is one of that tenant alone: files of its own, in that tenant's store and quota, a number and a signature of
its own. Job, dataset, aliases and activations stay behind. It counts as an upload: nobody there has trained it. Where
it comes from is kept by names: ids of the other tenant's things stay there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from django.db import DatabaseError

from modelpool.core.errors import ModelpoolError, VersionIsQuarantined, VersionNotReady
from modelpool.core.names import check_name
from modelpool.core.signature import ModelSignature
from modelpool.registry.manifests import verify_version
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.pools import delete_model_if_unused, find_model, get_or_create_model, store_of
from modelpool.registry.versions import NewVersion, register_version
from modelpool.storage.models import Artifact
from modelpool.storage.services import discard_artifact, open_artifact, store_artifact
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant


class Origin(msgspec.Struct, frozen=True):
    """Where a copy comes from, by the names of then; ``trust`` is how far the first of a row of copies was trusted.

    Nobody has signed it: it is told to people, and nothing is decided by it.
    """

    tenant: str
    model: str
    number: int
    trust: str


_KEPT = (
    "format",
    "serving_format",
    "parity",
    "metrics",
    "primary_mode",
    "params",
    "tags",
    "figures",
    "libraries",
    "description",
)


def copy_version(version: ModelVersion, *, to: Tenant, name: str, actor: Actor) -> ModelVersion:
    """Register a copy of a ready version in the pool ``name`` of the tenant ``to``, which is created when it is new.

    ``version`` comes with its model, its tenant and its files. The copy is not activated, whatever the policy there.
    Both tenants' audit trails tell of it. Whoever asks may see the one tenant and develop in the other: the caller
    has made sure. Must not be called inside a transaction.

    Raises :class:`VersionNotReady`, :class:`VersionIsQuarantined`,
    :class:`~modelpool.core.manifests.UntrustedManifest` for what is not as its maker signed it, and what
    :func:`~modelpool.storage.services.store_artifact` and
    :func:`~modelpool.registry.pools.create_model` raise, quotas among them. Nothing is left after an error.
    """
    check_name(name)
    _check_may_be_copied(version)
    verify_version(version)
    model = find_model(to, name)
    is_new = model is None
    model = model or get_or_create_model(to, name=name, actor=actor)
    try:
        return _copy(version, model, actor=actor)
    except BaseException:
        if is_new:
            with suppress(ModelpoolError, DatabaseError):  # what went wrong first is what is told
                delete_model_if_unused(model, actor=actor)
        raise


def _check_may_be_copied(version: ModelVersion) -> None:
    if version.state != ModelVersion.State.READY:
        raise VersionNotReady(version.model.name, version.number, version.state)
    if version.quarantined_at is not None:
        raise VersionIsQuarantined(version.model.name, version.number, version.quarantine_reason)


def _copy(version: ModelVersion, model: RegisteredModel, *, actor: Actor) -> ModelVersion:
    files: dict[str, Artifact] = {}
    try:
        for name, source in (("artifact", version.artifact), ("compiled", version.compiled)):
            if source is not None:
                files[name] = _copy_file(source, model)
        new = NewVersion(**_known_of(version), **files)  # type: ignore[arg-type]  # each by its own name
        tell = partial(_tell, version, actor=actor)
        return register_version(model, new=new, actor=actor, activate="never", in_transaction=tell)
    except BaseException:
        for file in files.values():
            discard_artifact(file)
        raise


def _copy_file(source: Artifact, model: RegisteredModel) -> Artifact:
    """Store the same bytes again, proven by their digest, in the store and the quota of the other tenant."""
    with open_artifact(source) as pieces:
        return store_artifact(
            model.tenant,
            chunks=pieces,
            store=store_of(model),
            filename=source.filename,
            media_type=source.media_type,
            expected_sha256=source.sha256,
        )


def _known_of(version: ModelVersion) -> Mapping[str, Any]:
    """Return what goes along. Only those who trained may call a version trained, so a copy is an upload."""
    is_code = version.trust == ModelVersion.Trust.UPLOADED_CODE
    trust = ModelVersion.Trust.UPLOADED_CODE if is_code else ModelVersion.Trust.UPLOADED_DATA
    known = {name: getattr(version, name) for name in _KEPT}
    signature = ModelSignature.from_dict(version.signature)
    origin = msgspec.to_builtins(_origin_as(version))
    return {
        **known,
        "signature": signature,
        "trust": trust,
        "primary_metric": version.primary_metric or None,
        "copied_from": origin,
    }


def origin_of(version: ModelVersion) -> Origin | None:
    """Return where the version was copied from, ``None`` where it was made here, or where that cannot be read."""
    if version.copied_from is None:
        return None
    try:
        return msgspec.convert(version.copied_from, Origin)
    except msgspec.ValidationError:
        return None


def _origin_as(version: ModelVersion) -> Origin:
    before = origin_of(version)
    trust = before.trust if before else str(version.trust)
    return Origin(version.tenant.name, version.model.name, version.number, trust)


def _tell(source: ModelVersion, copied: ModelVersion, *, actor: Actor) -> None:
    here, there = f"{source.model.name}/{source.number}", f"{copied.model.name}/{copied.number}"
    to, origin = {"to": f"{copied.tenant.name}/{there}"}, {"from": f"{source.tenant.name}/{here}"}
    audit.record("version.copy", actor=actor, tenant=source.tenant, target=here, details=to)
    audit.record("version.copy", actor=actor, tenant=copied.tenant, target=there, details=origin)
