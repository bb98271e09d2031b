"""From the names in a request to the version that answers: the only SQL of the prediction path, run in threads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from uuid import UUID

import msgspec
from django.db import Error as DatabaseError
from django.db import close_old_connections

from modelpool.core.errors import (
    AliasNotFound,
    ArtifactCorrupt,
    Conflict,
    DatabaseUnavailable,
    ModelNotFound,
    NotFound,
    Quarantined,
    TenantNotFound,
    VersionNotReady,
)
from modelpool.core.names import is_name
from modelpool.core.runtime.pool import PoolKey
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.inference.resolution.traffic import TrafficPlan, headers_of
from modelpool.inference.resolution.trust import require_manifest
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.quarantine import MAY_NOT_ANSWER
from modelpool.registry.services import resolve
from modelpool.registry.traffic_rules import TrafficRule, rule_of
from modelpool.tenants.models import Tenant

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

Selector = int | str | None
"""Which version: its number, the name of an alias, or ``None`` for the active one."""

RouteKey = tuple[str, str, Selector]
"""Tenant, model and selector, as they stand in the path of a request."""


_MAX_ACTIVE = 10_000  # routes to preload


class Route(msgspec.Struct, frozen=True):
    """The version that answers a route, and what is needed to load it.

    ``artifact_id``, ``object_id``, ``store``, ``size_bytes`` and ``sha256`` say which file, and what it must be.
    ``runs_inline`` says that it is compiled and of our own making, so that it may be loaded in this process;
    ``is_trained`` that it is of our own making, compiled or not. Where ``traffic`` is there, it chooses who answers;
    what it chooses says as what (``variant``) and under which ``rule``. ``headers`` go with every answer.
    """

    key: PoolKey
    tenant: str
    model: str
    number: int
    signature: ModelSignature
    format: str
    runs_inline: bool
    artifact_id: UUID
    store: str
    size_bytes: int
    sha256: str
    object_id: UUID | None = None
    quarantine: str = ""
    is_trained: bool = False
    traffic: TrafficPlan | None = None
    variant: str = ""
    rule: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def with_database(function: Callable[P, R]) -> Callable[P, R]:
    """Run in a thread of ours: with a usable connection, and a database that fails is :class:`DatabaseUnavailable`."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        except DatabaseError as error:
            raise DatabaseUnavailable("The database does not answer; try again.", retry_after_s=2) from error
        finally:
            close_old_connections()

    return run


@with_database
def find_route(key: RouteKey) -> Route:
    """Return the version that answers now.

    Raises :class:`TenantNotFound`, all that :func:`modelpool.registry.services.resolve` does, and
    :class:`~modelpool.core.errors.Quarantined`.
    """
    tenant_name, model_name, selector = key
    tenant = Tenant.objects.filter(name=tenant_name).first()
    if tenant is None:
        raise TenantNotFound(tenant_name[:80])
    if not is_name(model_name):
        raise ModelNotFound(tenant_name, model_name[:80])
    if isinstance(selector, str) and not is_name(selector):
        raise AliasNotFound(model_name, selector[:80])
    number = selector if isinstance(selector, int) else None
    alias = selector if isinstance(selector, str) else None
    version = resolve(tenant, model_name, number=number, alias=alias)
    rule = rule_of(version.model.traffic) if selector is None else None
    try:
        route = _route_to(version, tenant=tenant_name)
    except Quarantined:
        standing_in = None if rule is None else _first_of_split(rule, version.model, tenant=tenant_name)
        if rule is None or standing_in is None:
            raise
        route = standing_in
    return route if rule is None else _with_traffic(route, rule, version.model)


def _first_of_split(rule: TrafficRule, model: RegisteredModel, *, tenant: str) -> Route | None:
    """Return the first route of a split whose versions may all answer, and which so never needs the active one."""
    routes = [_usable_route(model, share.version, tenant=tenant) for share in rule.split]
    return None if None in routes else next(iter(routes), None)


def _with_traffic(active: Route, rule: TrafficRule, model: RegisteredModel) -> Route:
    """Return the route with the rule's plan. In place of a version that may not answer, the active one does."""
    rest = as_variant(active, "active", rule=rule)
    branches, end = [], 0.0
    shares = [("canary", rule.canary)] if rule.canary else list(zip("abcdefghij", rule.split, strict=False))
    for variant, share in shares:
        end += share.percent / 100
        route = _usable_route(model, share.version, tenant=active.tenant)
        branches.append((end, rest if route is None else as_variant(route, variant, rule=rule)))
    if rule.split:
        branches[-1] = (float("inf"), branches[-1][1])  # percentages add up to 100 but for what rounding takes
    shadow = None if rule.shadow is None else _usable_route(model, rule.shadow.version, tenant=active.tenant)
    plan = TrafficPlan(
        rule,
        model_id=model.pk,
        branches=tuple(branches),
        rest=branches[-1][1] if rule.split else rest,
        shadow=None if shadow is None else as_variant(shadow, "shadow", rule=rule),
    )
    return msgspec.structs.replace(active, traffic=plan)


def as_variant(route: Route, variant: str, *, rule: TrafficRule) -> Route:
    """Return the route as one that a rule chooses."""
    return msgspec.structs.replace(
        route, variant=variant, rule=rule.id, headers=headers_of(route.number, variant), traffic=None
    )


def _usable_route(model: RegisteredModel, number: int, *, tenant: str) -> Route | None:
    try:
        return _route_to(resolve(model.tenant, model.name, number=number), tenant=tenant)
    except (NotFound, Conflict, Quarantined, ArtifactCorrupt) as error:
        logger.warning("version %s of %s is left out of its traffic: %s", number, model.name, error)
        return None


def _route_to(version: ModelVersion, *, tenant: str) -> Route:
    model, artifact = version.model, version.serving_artifact
    if artifact is None:
        raise VersionNotReady(model.name, version.number, version.state)
    manifest = require_manifest(version)
    return Route(
        key=PoolKey(version.tenant_id, version.model_id, version.pk),
        tenant=tenant,
        model=model.name,
        number=version.number,
        signature=_shared(ModelSignature.from_dict(version.signature)),
        format=manifest.serving_format,
        runs_inline=manifest.serving_format == "onnx" and manifest.trust == ModelVersion.Trust.TRAINED,
        artifact_id=artifact.pk,
        object_id=artifact.object_id,
        store=artifact.store,
        size_bytes=artifact.size_bytes,
        sha256=manifest.sha256 if artifact is version.artifact else manifest.compiled_sha256,
        quarantine=version.quarantine_reason,
        is_trained=manifest.trust == ModelVersion.Trust.TRAINED,
        headers=headers_of(version.number),
    )


_MAX_SHARED = 1000
_inputs: dict[tuple[TensorSpec, ...], tuple[TensorSpec, ...]] = {}


def _shared(signature: ModelSignature) -> ModelSignature:
    """Let signatures with the same columns share them: 30 columns take 6 kB, and there are thousands of routes."""
    while signature.inputs not in _inputs and len(_inputs) >= _MAX_SHARED:
        _inputs.pop(next(iter(_inputs), ()), None)
    inputs = _inputs.setdefault(signature.inputs, signature.inputs)
    example = signature.example
    if example is not None:
        names = {spec.name: spec.name for spec in inputs}
        example = {names.get(name, name): value for name, value in example.items()}
    return msgspec.structs.replace(signature, inputs=inputs, example=example)


@with_database
def find_active(names: tuple[str, ...] | None) -> list[RouteKey]:
    """Return the routes to preload: of the named ``tenant/model``s, or of all active versions, the newest first."""
    active = RegisteredModel.unscoped.filter(active_version__isnull=False, tenant__is_active=True)
    active = active.filter(active_version__quarantined_at__isnull=True)
    if names is not None:
        pairs = [name.partition("/") for name in names]
        active = active.filter(tenant__name__in={pair[0] for pair in pairs}, name__in={pair[2] for pair in pairs})
    rows = active.order_by("-updated_at").values_list("tenant__name", "name")[:_MAX_ACTIVE]
    found: dict[str, RouteKey] = {f"{tenant}/{model}": (tenant, model, None) for tenant, model in rows}
    for name in names or ():
        if name not in found:
            logger.warning("serving.preload names %r, which has no active version that may answer", name)
    return [found[name] for name in names if name in found] if names is not None else list(found.values())


@with_database
def find_versions(version_ids: list[UUID]) -> list[RouteKey]:
    """Return the routes of these versions, in their order: that of the model where it is the active one.

    What is not ready any more, or belongs to a tenant that is suspended, is left out.
    """
    ready = ModelVersion.unscoped.filter(state=ModelVersion.State.READY, tenant__is_active=True, pk__in=version_ids)
    ready = ready.filter(quarantined_at__isnull=True)
    rows = ready.values_list("pk", "tenant__name", "model__name", "number", "model__active_version_id")
    found: dict[UUID, RouteKey] = {
        pk: (tenant, model, None if pk == active else number) for pk, tenant, model, number, active in rows
    }
    return [found[pk] for pk in version_ids if pk in found]


@with_database
def find_gone(version_ids: list[UUID]) -> set[UUID]:
    """Return those of the versions that may not answer any more: deleted, no longer ready, in quarantine."""
    ready = ModelVersion.unscoped.filter(pk__in=version_ids, state=ModelVersion.State.READY).exclude(MAY_NOT_ANSWER)
    return set(version_ids) - set(ready.values_list("pk", flat=True))
