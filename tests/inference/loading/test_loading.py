"""What a version costs the database: the first time little, and once its route is known nothing."""

from __future__ import annotations

import resource
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from modelpool.core.errors import ModelUnavailable, VersionNotFound
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.inference.loading import served
from modelpool.inference.loading.served import ServedModel, load_version
from modelpool.inference.resolution.lookup import Route, find_route
from modelpool.registry import services as registry
from modelpool.registry.models import ModelVersion
from modelpool.storage.models import Artifact
from modelpool.tenants import services as tenants
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant

BODY = b'{"instances": [[1, 1, 1]]}'


def load(route: Route) -> ServedModel:
    return load_version(route, ModelHost(1 << 30), watch=lambda *_: None, inline_limit_s=1.0)


def says(model: ServedModel) -> bytes:
    return model.answer(*model.read(BODY, content_type=b"application/json"))


@pytest.fixture
def route(register: Any, tenant: Tenant, yes_model: bytes) -> Route:
    register(tenant, "churn", yes_model)
    return find_route(("acme", "churn", None))


def test_a_route_takes_two_queries(route: Route) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert find_route(("acme", "churn", None)).key == route.key
    assert len(queries) == 2  # the tenant, and its model with version and files


def test_a_version_whose_route_is_known_is_loaded_without_the_database(route: Route) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert b'"yes"' in says(load(route))
    assert not queries.captured_queries


def test_what_a_version_costs_is_found_out_once(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(route)
    monkeypatch.delattr(served, "try_rows")
    again = load(route)
    assert again.joins is first.joins is True
    assert again.inline_rows > 0
    assert says(again) == says(first)


def test_a_file_that_was_moved_to_another_store_is_found(route: Route, tenant: Tenant) -> None:
    """The row knows where it is by now; what is there must still be what was signed."""
    kept = Artifact.objects.for_tenant(tenant).get(pk=route.artifact_id)
    (elsewhere,) = {"default", "rows"} - {kept.store}
    assert b'"yes"' in says(load(msgspec.structs.replace(route, store=elsewhere)))


def test_a_version_that_was_deleted_is_not_found(route: Route, tenant: Tenant, actor: Actor) -> None:
    registry.delete_model(registry.get_model(tenant, "churn"), actor=actor)
    with pytest.raises(VersionNotFound):
        load(route)


def test_a_node_without_room_for_a_model_says_so(route: Route) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(ModelUnavailable, match="cannot be loaded now: File too large"):
            load(msgspec.structs.replace(route, runs_inline=False, is_trained=False))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_pointer_to_a_version_of_another_tenant_leads_nowhere_else(
    route: Route, register: Any, actor: Actor, no_model: bytes
) -> None:
    """Somebody wrote to the tables: it is the model's own version of that number that answers."""
    foreign = register(tenants.create_tenant("other", actor=actor), "churn", no_model)
    model = registry.get_model(Tenant.objects.get(name="acme"), "churn")
    type(model).unscoped.filter(pk=model.pk).update(active_version=foreign)
    assert find_route(("acme", "churn", None)).key == route.key
    assert ModelVersion.unscoped.get(pk=foreign.pk).quarantined_at is None
