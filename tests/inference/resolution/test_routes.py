"""Routes move when what they lead to is loaded, and never back to what an older change wanted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from modelpool.core.runtime.pool import ModelPool
from modelpool.inference.loading.served import ServedModel
from modelpool.inference.resolution.lookup import Route, RouteKey
from modelpool.inference.resolution.routes import RouteCache
from modelpool.tenants.models import Tenant

KEY: RouteKey = ("acme", "churn", None)


class Small:
    """Something that a pool can keep."""

    size_bytes = 1

    def close(self) -> None: ...


class Loads:
    """Loads that end when a test says so; the pool is a real one."""

    def __init__(self) -> None:
        self.pool: ModelPool[Any] = ModelPool(100)
        self.waiting: list[tuple[Route, Future[Any]]] = []

    def __call__(self, route: Route) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((route, future))
        return future

    def finish(self) -> None:
        """End the load that has waited longest."""
        route, future = self.waiting.pop(0)
        future.set_result(self.pool.load(route.key, Small).result())  # type: ignore[arg-type]


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def moving(loads: Loads, register: Any, tenant: Tenant, yes_model: bytes) -> RouteCache:
    """A route to version 1, which is in memory, on its way to version 2, which is being loaded."""
    pool: ModelPool[ServedModel] = loads.pool
    routes = RouteCache(loads, pool)
    first = register(tenant, "churn", yes_model)
    found = routes.load(KEY)
    pool.release(pool.load(found.key, Small).result())  # type: ignore[arg-type]
    register(tenant, "churn", yes_model)
    routes.refresh({first.model_id})
    return routes


def number(routes: RouteCache) -> int:
    found = routes.find(KEY)
    assert found is not None
    return found.number


def test_a_route_moves_when_the_new_version_is_loaded(moving: RouteCache, loads: Loads) -> None:
    assert number(moving) == 1
    loads.finish()
    assert number(moving) == 2
    assert not any(entry.pins for entry in loads.pool._entries.values())


def test_of_two_changes_the_later_one_counts(
    moving: RouteCache, loads: Loads, register: Any, tenant: Tenant, yes_model: bytes
) -> None:
    third = register(tenant, "churn", yes_model)
    moving.refresh({third.model_id})
    loads.finish()
    assert number(moving) == 1
    loads.finish()
    assert number(moving) == 3
    assert not any(entry.pins for entry in loads.pool._entries.values())


@pytest.mark.parametrize(
    "forget",
    [lambda routes, _: routes.forget_all(), lambda routes, tenant: routes.forget_tenants({tenant.pk})],
    ids=["all", "tenant"],
)
def test_a_version_that_arrives_late_does_not_take_the_place_of_what_was_read_since(
    moving: RouteCache,
    loads: Loads,
    register: Any,
    tenant: Tenant,
    yes_model: bytes,
    forget: Callable[[RouteCache, Tenant], None],
) -> None:
    forget(moving, tenant)
    register(tenant, "churn", yes_model)
    assert moving.load(KEY).number == 3
    loads.finish()
    assert number(moving) == 3
