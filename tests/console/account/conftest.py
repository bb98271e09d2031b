"""People with passwords, and a browser of theirs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from modelpool.tenants import services
from modelpool.tenants.models import User

PASSWORD = "several words in a row"


@pytest.fixture
def ann(tenant, actor) -> User:
    """A scientist of acme with a password."""
    person = services.create_user("ann", password=PASSWORD, actor=actor, email="ann@acme.example")
    services.set_member(tenant, user=person, role="scientist", actor=actor)
    return person


@pytest.fixture
def enter(db: None) -> Callable[..., Client]:
    """``enter("ann")`` returns a browser that signed in by the form, as far as the password leads."""

    def make(name: str, password: str = PASSWORD, **headers: str) -> Client:
        client = Client(**headers)
        client.post("/console/login/", {"login": name, "password": password})
        return client

    return make
