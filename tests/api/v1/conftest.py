"""Clients of the REST API, and a tenant with one of everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from tests.api.v1.wire import Wire
from tests.api.v1.world import World, build_world


@pytest.fixture
def world(tenant: Tenant, actor: Actor) -> World:
    """The tenant ``acme`` with one of everything."""
    return build_world(tenant, actor=actor)


@pytest.fixture
def other_world(other_tenant: Tenant, actor: Actor) -> World:
    """The tenant ``umbrella`` with one of everything."""
    return build_world(other_tenant, actor=actor)


@pytest.fixture
def anonymous(db: None) -> Wire:
    """A client without a key."""
    return Wire()


@pytest.fixture
def operator(make_key: Callable[..., str]) -> Wire:
    """A client with an operator's key."""
    return Wire(make_key("operator"))


@pytest.fixture
def wire(make_key: Callable[..., str]) -> Callable[..., Wire]:
    """``wire(role)`` is a client with a key of ``acme``, below that tenant's address."""

    def make(role: str, tenant: Tenant | None = None) -> Wire:
        name = tenant.name if tenant else "acme"
        return Wire(make_key(role, tenant), base=f"/api/v1/tenants/{name}")

    return make


@pytest.fixture
def scientist(wire: Callable[..., Wire]) -> Wire:
    """A client with a scientist's key of ``acme``."""
    return wire("scientist")


@pytest.fixture
def viewer(wire: Callable[..., Wire]) -> Wire:
    """A client with a viewer's key of ``acme``."""
    return wire("viewer")


@pytest.fixture
def admin(wire: Callable[..., Wire]) -> Wire:
    """A client with an admin's key of ``acme``."""
    return wire("admin")
