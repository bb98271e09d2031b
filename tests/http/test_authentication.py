from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from modelpool.http import key_use
from modelpool.tenants import services
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import APIKey, Tenant, User
from tests.api.v1.wire import Wire, problem

pytestmark = pytest.mark.django_db

MODELS = "/api/v1/tenants/acme/models"


@pytest.fixture
def person(tenant: Tenant, actor: Actor) -> User:
    """A scientist of ``acme``."""
    user = User.objects.create(username="ada")
    services.set_member(tenant, user=user, role="scientist", actor=actor)
    return user


@pytest.fixture
def browser(person: User) -> Client:
    """That person's browser, signed in."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(person)
    return client


def test_a_revoked_key_is_refused(make_key: Callable[..., str], actor: Actor, tenant: Tenant):
    wire = Wire(make_key("viewer"))
    assert wire.get("/me").status_code == 200
    services.revoke_key(APIKey.objects.for_tenant(tenant).get().pk, tenant=tenant, actor=actor)
    assert problem(wire.get("/me"))["code"] == "not_authenticated"


def test_the_use_of_a_key_is_noted_once_a_minute(
    make_key: Callable[..., str], tenant: Tenant, monkeypatch: pytest.MonkeyPatch
):
    wire = Wire(make_key("viewer"))
    assert APIKey.objects.for_tenant(tenant).get().last_used_at is None
    wire.get("/me")
    first = APIKey.objects.for_tenant(tenant).get().last_used_at
    assert first is not None
    wire.get("/me")
    assert APIKey.objects.for_tenant(tenant).get().last_used_at == first
    monkeypatch.setattr(key_use, "EVERY_S", 0.0)
    wire.get("/me")
    assert APIKey.objects.for_tenant(tenant).get().last_used_at > first


def test_a_suspended_tenants_keys_are_refused_and_operators_are_not(
    make_key: Callable[..., str], actor: Actor, tenant: Tenant
):
    wire, operator = Wire(make_key("admin")), Wire(make_key("operator"))
    services.update_tenant(tenant, actor=actor, is_active=False)
    assert wire.get("/tenants/acme").status_code == 401
    assert operator.get("/tenants/acme").json()["is_active"] is False
    assert operator.patch("/tenants/acme", {"is_active": True}).status_code == 200
    assert wire.get("/tenants/acme").status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dTpw", "mp_x", "Bearer mp_é", "bearer x y z"])
def test_headers_that_hold_no_key(header: str):
    response = Client().get("/api/v1/me", headers={"Authorization": header})
    assert (response.status_code, problem(response)["code"]) == (401, "not_authenticated")


def test_a_browser_reads_with_its_session(browser: Client):
    assert browser.get(MODELS).status_code == 200
    me = browser.get("/api/v1/me").json()
    assert (me["kind"], me["name"], me["memberships"]) == ("user", "ada", [{"tenant": "acme", "role": "scientist"}])


def test_a_browsers_change_needs_the_csrf_token(browser: Client):
    sent = {"data": '{"name": "churn"}', "content_type": "application/json"}
    for verb in ("post", "put", "patch", "delete"):
        response = getattr(browser, verb)(f"{MODELS}/churn" if verb != "post" else MODELS, **sent)
        assert (response.status_code, problem(response)["code"]) == (403, "csrf_failed")
    browser.cookies["csrftoken"] = token = "a" * 32
    response = browser.post(MODELS, **sent, headers={"X-CSRFToken": token})
    assert response.status_code == 201
    assert response.json()["created_by"] == "ada"


def test_a_wrong_key_is_not_made_good_by_a_session(browser: Client):
    assert browser.get(MODELS, headers={"Authorization": "Bearer mp_wrong"}).status_code == 401


def test_a_person_sees_their_own_tenants_only(browser: Client, other_tenant: Tenant):
    assert problem(browser.get("/api/v1/tenants/umbrella/models"))["code"] == "tenant_not_found"
    assert problem(browser.get("/api/v1/tenants"))["code"] == "permission_denied"
    assert problem(browser.get("/api/v1/tenants/acme/keys"))["code"] == "permission_denied"


def test_a_person_who_was_locked_out_is_nobody(browser: Client, person: User):
    User.objects.filter(pk=person.pk).update(is_active=False)
    assert browser.get(MODELS).status_code == 401


def test_an_operator_may_enter_everywhere(tenant: Tenant):
    browser = Client()
    browser.force_login(User.objects.create(username="root", is_superuser=True))
    assert browser.get(MODELS).status_code == 200
    assert browser.get("/api/v1/tenants").status_code == 200
