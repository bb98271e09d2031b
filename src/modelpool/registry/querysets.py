"""Named questions about models and versions.

Each takes one query for a page of rows, whatever their number: page a queryset first, then ask about its rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from django.db.models import BinaryField, Case, Count, F, JSONField, Max, Model, Q, QuerySet, Value, When

from modelpool.registry.models import ModelAlias, ModelVersion, RegisteredModel
from modelpool.tenants.models import Tenant
from modelpool.tenants.querysets import knowing

M = TypeVar("M", bound=Model)


def models_of(tenant: Tenant) -> QuerySet[RegisteredModel]:
    """Return the tenant's models, each with its tenant and its active version (but what that one tells at length)."""
    models: QuerySet[RegisteredModel] = RegisteredModel.objects.for_tenant(tenant)
    columns = [field for field in ModelVersion._meta.get_fields() if isinstance(field, JSONField | BinaryField)]
    return models.select_related("active_version").defer(*(f"active_version__{field.name}" for field in columns))


def versions_of(model: RegisteredModel, *, with_deleted: bool = False) -> QuerySet[ModelVersion]:
    """Return the model's versions, each with its tenant, its model and the file as trained or uploaded.

    ``level`` is their level of trust, as :attr:`ModelVersion.trust_level` says it.
    """
    versions: QuerySet[ModelVersion] = ModelVersion.objects.for_tenant(model.tenant).filter(model=model)
    if not with_deleted:
        versions = versions.exclude(state=ModelVersion.State.DELETED)
    quarantined = When(quarantined_at__isnull=False, then=Value(ModelVersion.Trust.QUARANTINED.value))
    versions = versions.annotate(level=Case(quarantined, default=F("trust")))
    return knowing(versions, model=model).select_related("artifact").defer("manifest", "manifest_signature")


def as_listed(rows: QuerySet[M], related: str, *names: str) -> QuerySet[M]:
    """Return the same rows, of whose ``related`` row only the columns ``names`` are read.

    Half of the time that a page of a list takes goes into making Python's values of columns.
    """
    kind: type[Model] = rows.model._meta.get_field(related).related_model  # type: ignore[assignment]
    return rows.defer(*(f"{related}__{field.name}" for field in kind._meta.fields if field.name not in ("id", *names)))


def aliases_of_versions(versions: Sequence[ModelVersion]) -> dict[UUID, tuple[str, ...]]:
    """Return the names of each version, by its id, in order; versions without any are not there unless asked for."""
    found: dict[UUID, tuple[str, ...]] = defaultdict(tuple)
    for tenant_id in {version.tenant_id for version in versions}:
        aliases = ModelAlias.objects.for_tenant(tenant_id).filter(version__in=[version.pk for version in versions])
        for version_id, name in aliases.order_by("name").values_list("version_id", "name"):
            found[version_id] += (name,)
    return found


def aliases_of_models(models: Sequence[RegisteredModel]) -> dict[UUID, dict[str, int]]:
    """Return the aliases of each model, by its id: names and the numbers of versions."""
    found: dict[UUID, dict[str, int]] = defaultdict(dict)
    for tenant_id in {model.tenant_id for model in models}:
        aliases = ModelAlias.objects.for_tenant(tenant_id).filter(model__in=[model.pk for model in models])
        for model_id, name, number in aliases.order_by("name").values_list("model_id", "name", "version__number"):
            found[model_id][name] = number
    return found


def count_versions(models: Sequence[RegisteredModel]) -> dict[UUID, tuple[int, int | None]]:
    """Return how many versions of each model, by its id, are not deleted, and the newest number of them."""
    found: dict[UUID, tuple[int, int | None]] = defaultdict(lambda: (0, None))
    living = ~Q(state=ModelVersion.State.DELETED)
    for tenant_id in {model.tenant_id for model in models}:
        versions = ModelVersion.objects.for_tenant(tenant_id).filter(living, model__in=[model.pk for model in models])
        grouped = versions.order_by().values_list("model_id").annotate(count=Count("pk"), newest=Max("number"))
        found.update({model_id: (count, newest) for model_id, count, newest in grouped})
    return found
