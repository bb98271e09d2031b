"""Versions that may not be loaded any more, because they harm or are not what their maker signed.

Quarantine is about one version: others of its model, and the pointer to the active one, are left alone. A version that
is there because of its stored bytes (:data:`INTEGRITY`) goes on answering where a healthy copy is in memory.
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from modelpool.core.artifacts import ObjectMissing
from modelpool.core.errors import ArtifactCorrupt, ReleaseRefused
from modelpool.core.manifests import UntrustedManifest
from modelpool.registry.feed import announce
from modelpool.registry.locking import lock_model
from modelpool.registry.manifests import verify_version
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.versions import get_version
from modelpool.storage.models import Artifact
from modelpool.storage.services import open_artifact
from modelpool.tenants import audit
from modelpool.tenants.actors import SYSTEM, Actor
from modelpool.tenants.models import AuditEvent

Cause = Literal["faults", "integrity", "manifest", "unsigned"]
"""Repeated crashes; stored bytes that are not those; a row that is not what was signed; no manifest at all."""

INTEGRITY: Cause = "integrity"
MAY_NOT_ANSWER = Q(quarantined_at__isnull=False) & ~Q(quarantine_code=INTEGRITY)
"""Of versions: those in quarantine that may not even answer from memory."""

_FREE: dict[str, Any] = {"quarantined_at": None, "quarantine_code": "", "quarantine_reason": "", "quarantined_by": ""}


def quarantine_version(
    version_id: UUID, *, tenant_id: UUID, reason: str, cause: Cause = "faults", actor: Actor = SYSTEM
) -> bool:
    """Put a version into quarantine, and say whether it was free until now.

    However many processes report it, there is one audit row and one entry in the change feed. A version that was
    deleted meanwhile is left alone.
    """
    version = _find(version_id, tenant_id)
    if version is None or version.quarantined_at is not None:
        return False
    with transaction.atomic():
        locked = lock_model(version.model)
        row = ModelVersion.objects.for_tenant(tenant_id).filter(pk=version_id, quarantined_at__isnull=True)
        changed = row.exclude(state=ModelVersion.State.DELETED).update(
            quarantined_at=timezone.now(),
            quarantine_code=cause,
            quarantine_reason=reason[:500],
            quarantined_by=actor.label[:200],
        )
        if changed:
            is_active = locked.active_version_id == version_id
            details = {"cause": cause, "reason": reason[:500], "active": is_active}
            _record("version.quarantine", version, actor=actor, details=details)
            announce(locked)
    return bool(changed)


def refuse_version(version_id: UUID, *, tenant_id: UUID, reason: str) -> bool:
    """Write down, once for each version, that a node cannot tell whether to trust it; the version stays as it is.

    A node that lacks a public key must not close the pool for those that have it.
    """
    version = _find(version_id, tenant_id)
    if version is None:
        return False
    with transaction.atomic():
        lock_model(version.model)
        known = AuditEvent.objects.filter(tenant_id=tenant_id, action="version.refuse", target=_target(version))
        if known.exists():
            return False
        _record("version.refuse", version, actor=SYSTEM, details={"reason": reason[:500]}, outcome="refused")
    return True


def release_version(model: RegisteredModel, *, number: int, actor: Actor) -> ModelVersion:
    """Let a version answer again; one that is not in quarantine stays as it is.

    It must be what its maker signed; where its files or its row were the cause, they are read and compared first.
    Raises :class:`ReleaseRefused` when they are still wrong, and :class:`VersionNotFound`.
    """
    version = get_version(model, number)
    if version.quarantined_at is None:
        return version
    _check_again(version)
    with transaction.atomic():
        locked = lock_model(model)
        row = ModelVersion.objects.for_tenant(model.tenant_id).filter(
            pk=version.pk, quarantined_at=version.quarantined_at
        )
        if row.update(**_FREE):
            details = {"cause": version.quarantine_code, "reason": version.quarantine_reason}
            _record("version.release", version, actor=actor, details=details)
            announce(locked)
    return get_version(locked, number)


def forgive_unsigned(version: ModelVersion) -> None:
    """Let a version out that was in quarantine because nobody had signed it, and that was signed just now."""
    with transaction.atomic():
        locked = lock_model(version.model)
        row = ModelVersion.objects.for_tenant(version.tenant_id).filter(pk=version.pk, quarantine_code="unsigned")
        if row.update(**_FREE):
            _record("version.release", version, actor=SYSTEM, details={"cause": "unsigned"})
            announce(locked)


def _check_again(version: ModelVersion) -> None:
    try:
        verify_version(version)
        if version.quarantine_code != "faults":
            for artifact in (version.artifact, version.compiled):
                if artifact is not None:
                    _read_through(artifact)
    except UntrustedManifest as error:
        raise _refusal(version, str(error)) from error
    except (ArtifactCorrupt, ObjectMissing) as error:
        raise _refusal(version, "its file is not the one that was stored; restore that from a backup") from error


def _read_through(artifact: Artifact) -> None:
    with open_artifact(artifact) as pieces:
        for _ in pieces:
            pass


def _refusal(version: ModelVersion, reason: str) -> ReleaseRefused:
    return ReleaseRefused(f"Version {version.number} of {version.model.name!r} stays in quarantine: {reason}.")


def _find(version_id: UUID, tenant_id: UUID) -> ModelVersion | None:
    rows = ModelVersion.objects.for_tenant(tenant_id).filter(pk=version_id).exclude(state=ModelVersion.State.DELETED)
    version: ModelVersion | None = rows.select_related("model", "tenant").first()
    if version is not None:
        version.model.tenant = version.tenant
    return version


def _record(
    action: str, version: ModelVersion, *, actor: Actor, details: dict[str, Any], outcome: str = "done"
) -> None:
    target = _target(version)
    audit.record(action, actor=actor, tenant=version.tenant, target=target, details=details, outcome=outcome)


def _target(version: ModelVersion) -> str:
    return f"{version.model.name}/{version.number}"
