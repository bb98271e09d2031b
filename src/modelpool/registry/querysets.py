"""Named questions about models and versions, and the rows made ready to be shown.

Each takes a fixed number of queries, whatever the number of rows: page a queryset first, then present the page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Q, QuerySet

from modelpool.core.errors import InvalidField
from modelpool.registry.models import Activation, ModelAlias, ModelVersion, RegisteredModel
from modelpool.tenants.models import Tenant

MODEL_ORDERINGS = {"name": ("name",), "created_at": ("created_at", "id")}
VERSION_ORDERINGS = {"number": ("number",), "created_at": ("created_at", "number")}


@dataclass(frozen=True, slots=True)
class PresentedVersion:
    """A version with everything that is shown of it; the names are those of the REST contract."""

    id: UUID
    tenant: str
    model: str
    number: int
    state: str
    active: bool
    aliases: tuple[str, ...]
    format: str
    serving_format: str
    trust: str
    parity: Mapping[str, Any] | None
    signature: Mapping[str, Any]
    metrics: Mapping[str, float | None]
    primary_metric: str | None
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    description: str
    figures: Mapping[str, Any]
    libraries: Mapping[str, str]
    size_bytes: int
    sha256: str
    store: str
    job: UUID | None
    dataset: UUID | None
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class PresentedModel:
    """A model with everything that is shown of it; ``versions`` counts those that are not deleted."""

    id: UUID
    tenant: str
    name: str
    description: str
    policy: Mapping[str, Any]
    store: str
    tags: Mapping[str, str]
    active_version: int | None
    latest_version: int | None
    versions: int
    aliases: Mapping[str, int]
    created_at: datetime
    updated_at: datetime
    created_by: str


def models_of(tenant: Tenant, *, ordering: str = "-created_at", name_contains: str = "") -> QuerySet[RegisteredModel]:
    """Return the tenant's models; ``ordering`` is one of :data:`MODEL_ORDERINGS`, with ``-`` for the other way."""
    models: QuerySet[RegisteredModel] = RegisteredModel.objects.for_tenant(tenant)
    if name_contains:
        models = models.filter(name__contains=name_contains)
    return models.select_related("tenant", "active_version").order_by(*_order(ordering, MODEL_ORDERINGS))


def versions_of(
    model: RegisteredModel, *, state: str | None = None, ordering: str = "-number"
) -> QuerySet[ModelVersion]:
    """Return the model's versions of one ``state``, by default all but deleted, by one of :data:`VERSION_ORDERINGS`."""
    versions: QuerySet[ModelVersion] = ModelVersion.objects.for_tenant(model.tenant_id).filter(model=model)
    if state is None:
        versions = versions.exclude(state=ModelVersion.State.DELETED)
    elif state in ModelVersion.State.values:
        versions = versions.filter(state=state)
    else:
        raise InvalidField("state", f"{state[:80]!r} is not one of {', '.join(ModelVersion.State.values)}.")
    return versions.select_related("tenant", "model", "artifact").order_by(*_order(ordering, VERSION_ORDERINGS))


def activations_of(model: RegisteredModel) -> QuerySet[Activation]:
    """Return the history of the active version, newest first."""
    history: QuerySet[Activation] = Activation.objects.for_tenant(model.tenant_id).filter(model=model)
    return history.order_by("-sequence")


def present_versions(versions: Iterable[ModelVersion]) -> list[PresentedVersion]:
    """Make versions of :func:`versions_of` (a page of them) ready to be shown, with one query for all aliases."""
    rows = list(versions)
    aliases = _aliases_of_versions(rows)
    return [_present_version(row, aliases[row.pk]) for row in rows]


def present_version(version: ModelVersion) -> PresentedVersion:
    """Make one version ready to be shown."""
    return present_versions([version])[0]


def present_models(models: Iterable[RegisteredModel]) -> list[PresentedModel]:
    """Make models of :func:`models_of` (a page of them) ready to be shown, with two queries for all of them."""
    rows = list(models)
    aliases, counts = _aliases_of_models(rows), _counts_of(rows)
    return [_present_model(row, aliases[row.pk], counts.get(row.pk, (0, None))) for row in rows]


def present_model(model: RegisteredModel) -> PresentedModel:
    """Make one model ready to be shown."""
    return present_models([model])[0]


def _order(ordering: str, allowed: Mapping[str, Sequence[str]]) -> list[str]:
    name = ordering.removeprefix("-")
    if name not in allowed:
        raise InvalidField("ordering", f"{ordering[:80]!r} is not one of {', '.join(allowed)}, with or without '-'.")
    sign = "-" if ordering.startswith("-") else ""
    return [f"{sign}{column}" for column in allowed[name]]


def _aliases_of_versions(versions: Sequence[ModelVersion]) -> dict[UUID, tuple[str, ...]]:
    found: dict[UUID, tuple[str, ...]] = defaultdict(tuple)
    for tenant_id in {version.tenant_id for version in versions}:
        aliases = ModelAlias.objects.for_tenant(tenant_id).filter(version__in=[version.pk for version in versions])
        for version_id, name in aliases.order_by("name").values_list("version_id", "name"):
            found[version_id] += (name,)
    return found


def _aliases_of_models(models: Sequence[RegisteredModel]) -> dict[UUID, dict[str, int]]:
    found: dict[UUID, dict[str, int]] = defaultdict(dict)
    for tenant_id in {model.tenant_id for model in models}:
        aliases = ModelAlias.objects.for_tenant(tenant_id).filter(model__in=[model.pk for model in models])
        for model_id, name, number in aliases.order_by("name").values_list("model_id", "name", "version__number"):
            found[model_id][name] = number
    return found


def _counts_of(models: Sequence[RegisteredModel]) -> dict[UUID, tuple[int, int | None]]:
    """Count versions that are not deleted, and find the newest of them."""
    found: dict[UUID, tuple[int, int | None]] = {}
    living = ~Q(state=ModelVersion.State.DELETED)
    for tenant_id in {model.tenant_id for model in models}:
        versions = ModelVersion.objects.for_tenant(tenant_id).filter(living, model__in=[model.pk for model in models])
        grouped = versions.order_by().values_list("model_id").annotate(count=Count("pk"), newest=Max("number"))
        found.update({model_id: (count, newest) for model_id, count, newest in grouped})
    return found


def _present_version(version: ModelVersion, aliases: tuple[str, ...]) -> PresentedVersion:
    return PresentedVersion(
        id=version.pk,
        tenant=version.tenant.name,
        model=version.model.name,
        number=version.number,
        state=version.state,
        active=version.model.active_version_id == version.pk,
        aliases=aliases,
        format=version.format,
        serving_format=version.serving_format,
        trust=version.trust,
        parity=version.parity,
        signature=version.signature,
        metrics=version.metrics,
        primary_metric=version.primary_metric or None,
        params=version.params,
        tags=version.tags,
        description=version.description,
        figures=version.figures,
        libraries=version.libraries,
        size_bytes=version.size_bytes,
        sha256=version.sha256,
        store=version.artifact.store if version.artifact else "",
        job=version.job_id,
        dataset=version.dataset_id,
        created_at=version.created_at,
        created_by=version.created_by,
    )


def _present_model(
    model: RegisteredModel, aliases: Mapping[str, int], counted: tuple[int, int | None]
) -> PresentedModel:
    return PresentedModel(
        id=model.pk,
        tenant=model.tenant.name,
        name=model.name,
        description=model.description,
        policy=model.policy,
        store=model.store or model.tenant.store,
        tags=model.tags,
        active_version=model.active_version.number if model.active_version else None,
        latest_version=counted[1],
        versions=counted[0],
        aliases=aliases,
        created_at=model.created_at,
        updated_at=model.updated_at,
        created_by=model.created_by,
    )
