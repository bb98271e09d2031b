"""Aliases: movable names of versions, such as ``champion``."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from modelpool.core.errors import AliasNotFound, QuotaExceeded, VersionIsQuarantined, VersionNotReady
from modelpool.core.names import check_name
from modelpool.registry.feed import announce
from modelpool.registry.locking import lock_model
from modelpool.registry.models import ModelAlias, ModelVersion, RegisteredModel
from modelpool.registry.versions import get_version
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor

MAX_ALIASES = 100
"""Of one model: each answer that shows the model lists them all."""


def set_alias(model: RegisteredModel, *, name: str, number: int, actor: Actor) -> ModelAlias:
    """Point the alias at a ready version, from nowhere or from another one.

    Raises :class:`VersionNotFound`, :class:`VersionNotReady`, :class:`VersionIsQuarantined` and
    :class:`QuotaExceeded` past :data:`MAX_ALIASES`.
    """
    check_name(name, field="alias")
    with transaction.atomic():
        locked = lock_model(model)
        version = get_version(locked, number)
        if version.state != ModelVersion.State.READY:
            raise VersionNotReady(locked.name, number, version.state)
        if version.quarantined_at is not None:
            raise VersionIsQuarantined(locked.name, number, version.quarantine_reason)
        alias = _of(locked).filter(name=name).select_related("version").first()
        before = None if alias is None else alias.version.number
        if alias is None:
            if _of(locked).count() >= MAX_ALIASES:
                raise QuotaExceeded(f"Model {locked.name!r} has its {MAX_ALIASES} aliases; delete one.")
            alias = ModelAlias(tenant=locked.tenant, model=locked, name=name)
        if before != number:
            alias.version = version
            alias.save()
            details = {"from": before, "to": number}
            audit.record(
                "alias.set", actor=actor, tenant=locked.tenant, target=f"{locked.name}@{name}", details=details
            )
            announce(locked)
    return alias


def delete_alias(model: RegisteredModel, *, name: str, actor: Actor) -> None:
    """Delete the alias; raise :class:`AliasNotFound`."""
    with transaction.atomic():
        locked = lock_model(model)
        deleted, _ = _of(locked).filter(name=name).delete()
        if not deleted:
            raise AliasNotFound(locked.name, name[:63])
        audit.record("alias.delete", actor=actor, tenant=locked.tenant, target=f"{locked.name}@{name}")
        announce(locked)


def _of(model: RegisteredModel) -> QuerySet[ModelAlias]:
    return ModelAlias.objects.for_tenant(model.tenant_id).filter(model=model)
