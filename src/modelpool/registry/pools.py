"""Registered models: create, find, change and delete the names under which versions are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ManyToOneRel

from modelpool import conf
from modelpool.core.errors import InvalidField, ModelNotFound, NameTaken, QuotaExceeded, TenantNotFound
from modelpool.core.names import check_name, is_name
from modelpool.core.policies import parse_policy
from modelpool.registry.feed import announce
from modelpool.registry.limits import check_description, check_tags
from modelpool.registry.locking import lock_model
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.storage.models import Artifact
from modelpool.storage.services import delete_artifacts
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant


def get_model(tenant: Tenant, name: str, *, with_files: bool = False, with_active: bool = True) -> RegisteredModel:
    """Return the tenant's model, with its tenant and active version; raise :class:`ModelNotFound`.

    ``with_files`` brings the artifacts of the active version as well, in the same query; without ``with_active``
    nothing but that version's id is there.
    """
    model = find_model(tenant, name, with_files=with_files, with_active=with_active)
    if model is None:
        raise ModelNotFound(tenant.name, name[:63])
    return model


def find_model(
    tenant: Tenant, name: str, *, with_files: bool = False, with_active: bool = True
) -> RegisteredModel | None:
    """Return the tenant's model, or ``None``; see :func:`get_model`."""
    if not is_name(name):
        return None
    models = RegisteredModel.objects.for_tenant(tenant).filter(name=name)
    if with_active:
        related = ("active_version__artifact", "active_version__compiled") if with_files else ("active_version",)
        models = models.select_related(*related).defer("active_version__figures")
    model: RegisteredModel | None = models.first()
    if model is not None:
        model.tenant = tenant
    return model


def create_model(
    tenant: Tenant,
    *,
    name: str,
    actor: Actor,
    description: str = "",
    policy: str | dict[str, Any] | None = None,
    store: str = "",
    tags: dict[str, str] | None = None,
) -> RegisteredModel:
    """Create a model; its policy is the one given, else the tenant's, else ``best_metric`` by the primary metric.

    Raises :class:`NameTaken`, :class:`QuotaExceeded` past the tenant's number of models, and :class:`InvalidField`.
    """
    check_name(name)
    fields = _check_fields(
        {"description": description, "policy": policy or tenant.default_policy, "store": store, "tags": tags or {}}
    )
    try:
        with transaction.atomic():
            _check_quota(tenant)
            model: RegisteredModel = RegisteredModel.objects.create(
                tenant=tenant, name=name, created_by=actor.label[:200], **fields
            )
            audit.record("model.create", actor=actor, tenant=tenant, target=name, details={"policy": fields["policy"]})
            announce(model)
    except IntegrityError as error:
        raise NameTaken("model", name) from error
    return model


def get_or_create_model(tenant: Tenant, *, name: str, actor: Actor) -> RegisteredModel:
    """Return the tenant's model, created with all defaults when it is new."""
    model = find_model(tenant, name)
    if model is not None:
        return model
    try:
        return create_model(tenant, name=name, actor=actor)
    except NameTaken:
        return get_model(tenant, name)


def update_model(model: RegisteredModel, *, actor: Actor, **fields: Any) -> RegisteredModel:
    """Change ``description``, ``policy``, ``store`` or ``tags``; policy and store hold for versions to come."""
    checked = _check_fields(fields)
    with transaction.atomic():
        locked = lock_model(model)
        before = {name: getattr(locked, name) for name in checked}
        changed = {name: value for name, value in checked.items() if value != before[name]}
        if not changed:
            return locked
        for name, value in changed.items():
            setattr(locked, name, value)
        locked.save(update_fields=[*changed, "updated_at"])
        details = {"before": {name: before[name] for name in changed}, "after": changed}
        audit.record("model.update", actor=actor, tenant=locked.tenant, target=locked.name, details=details)
        announce(locked)
    return locked


def delete_model(model: RegisteredModel, *, actor: Actor) -> None:
    """Delete a model with its versions (the active one too), aliases, history and jobs; the name is free again.

    The files go after the commit. What has the model in memory answers its running predictions first.
    """
    with transaction.atomic():
        locked = lock_model(model)
        versions = ModelVersion.objects.for_tenant(locked.tenant_id).filter(model=locked)
        details = {
            "versions": versions.exclude(state=ModelVersion.State.DELETED).count(),
            "last_number": locked.last_number,
        }
        for files in (versions.values("artifact_id"), versions.values("compiled_id")):
            delete_artifacts(Artifact.objects.for_tenant(locked.tenant_id).filter(pk__in=files))
        audit.record("model.delete", actor=actor, tenant=locked.tenant, target=locked.name, details=details)
        RegisteredModel.objects.for_tenant(locked.tenant_id).filter(pk=locked.pk).update(active_version=None)
        RegisteredModel.objects.for_tenant(locked.tenant_id).filter(pk=locked.pk).delete()
        announce(locked)


def delete_model_if_unused(model: RegisteredModel, *, actor: Actor) -> bool:
    """Delete a model that never had a version and that no job is to fill; say whether it was one."""
    with transaction.atomic():
        locked = lock_model(model)
        is_unused = locked.last_number == 0 and not _is_referred_to(locked)
        if is_unused:
            delete_model(locked, actor=actor)
    return is_unused


def store_of(model: RegisteredModel) -> str:
    """Return the alias of the store for the model's next artifacts: its own, else its tenant's."""
    return model.store or model.tenant.store


def _is_referred_to(model: RegisteredModel) -> bool:
    """Say whether a row of any table names the model; the tables of the layers above are known to Django only."""
    references = [one for one in RegisteredModel._meta.get_fields(include_hidden=True) if isinstance(one, ManyToOneRel)]
    return any(
        one.related_model.objects.for_tenant(model.tenant_id).filter(**{one.field.name: model}).exists()  # type: ignore[attr-defined]
        for one in references
    )


def _check_quota(tenant: Tenant) -> None:
    """Count under the tenant's lock, so that two at once cannot both take the last place."""
    row = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant.pk).first()
    if row is None:
        raise TenantNotFound(tenant.name)
    limit = conf.settings().limits.tenant_models if row.max_models is None else row.max_models
    if RegisteredModel.objects.for_tenant(row).count() >= limit:
        raise QuotaExceeded(f"The tenant has its {limit} models; delete one, or ask for more.")


def _check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Check each field by its own rule; one that has no rule is no field of a model."""
    for name in fields.keys() - _CHECKS.keys():
        raise InvalidField(name, f"is not a field that can be changed; those are {', '.join(sorted(_CHECKS))}.")
    return {name: _CHECKS[name](value) for name, value in fields.items()}


def _check_store(alias: Any) -> str:
    stores = conf.settings().stores
    if alias != "" and alias not in stores:
        raise InvalidField("store", f"{str(alias)[:80]!r} is not configured; stores are {', '.join(sorted(stores))}.")
    return str(alias)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "description": check_description,
    "policy": lambda form: parse_policy(form).to_dict(),
    "store": _check_store,
    "tags": check_tags,
}
