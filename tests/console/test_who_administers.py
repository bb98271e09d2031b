"""Who reaches the pages of administrators and operators, each by GET and by POST."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from modelpool.console.urls import urlpatterns
from modelpool.tenants.models import AuditEvent, User

pytestmark = pytest.mark.django_db

_VALUES = {
    "member": uuid4(), "key": uuid4(), "job": uuid4(), "format": "csv", "name": "acme", "person": 1, "tenant": "acme"
}  # fmt: skip
PAGES = {
    "members", "keys", "key-new", "audit", "audit-export", "tenant-settings", "operate", "operate-figures",
    "operate-tenants", "operate-tenant-new", "operate-tenant", "operate-people", "operate-person-new",
    "operate-person", "operate-jobs", "operate-nodes", "operate-settings", "operate-keys", "operate-key-new",
    "operate-audit", "operate-audit-export",
}  # fmt: skip
FORMS = {
    "members", "key-new", "tenant-settings", "operate-tenant-new", "operate-tenant", "operate-person-new",
    "operate-key-new",
}  # fmt: skip
ACTIONS = {
    "member-role", "member-remove", "key-revoke", "operate-tenant-state", "operate-tenant-delete",
    "operate-person-invite", "operate-person-active", "operate-person-operator", "operate-person-role",
    "operate-person-sessions-end", "operate-person-second-factor-remove", "operate-job-cancel", "operate-key-revoke",
}  # fmt: skip
OF_TENANT = sorted(name for name in PAGES | ACTIONS if not name.startswith("operate"))
OF_OPERATORS = sorted(name for name in PAGES | ACTIONS if name.startswith("operate"))


def address(name, tenant="acme"):
    (pattern,) = (one.pattern for one in urlpatterns if one.name == name)
    return reverse(f"console:{name}", kwargs={key: {**_VALUES, "tenant": tenant}[key] for key in pattern.converters})


def ask(client, name, tenant="acme"):
    """Return the statuses of everything that the address takes."""
    url = address(name, tenant)
    got = [client.get(url).status_code] if name in PAGES else []
    return got + ([client.post(url, {}).status_code] if name in FORMS | ACTIONS else [])


def test_every_address_of_operators_is_in_these_lists():
    known = {one.name for one in urlpatterns if one.name and one.name.startswith("operate")}
    assert known == set(OF_OPERATORS)


@pytest.mark.parametrize("name", OF_TENANT)
@pytest.mark.parametrize("role", ["viewer", "scientist"])
def test_members_without_the_role_may_not(sign_in, tenant, name, role):
    assert set(ask(sign_in(role, tenant), name)) == {403}


@pytest.mark.parametrize("name", OF_TENANT)
def test_another_tenants_pages_are_not_there(sign_in, tenant, other_tenant, name):
    assert set(ask(sign_in("admin", tenant), name, other_tenant.name)) == {404}


@pytest.mark.parametrize("name", OF_OPERATORS)
def test_administrators_of_a_tenant_do_not_operate(sign_in, tenant, name):
    assert set(ask(sign_in("admin", tenant), name)) == {403}


@pytest.mark.parametrize("name", [*OF_TENANT, *OF_OPERATORS])
def test_strangers_are_asked_to_sign_in(tenant, name):
    assert set(ask(Client(), name)) == {302}


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_actions_refuse_get(sign_in, tenant, name):
    assert sign_in("operator").get(address(name)).status_code == 405


@pytest.mark.parametrize("name", sorted(FORMS | ACTIONS))
def test_forms_need_the_csrf_token(tenant, name):
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create(username="olga", is_staff=True, is_superuser=True))
    before = AuditEvent.objects.count()
    assert client.post(address(name), {}).status_code == 403
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("name", sorted(PAGES))
def test_pages_open_and_write_nothing(sign_in, tenant, name):
    client = sign_in("operator")
    _VALUES["person"] = client.session["_auth_user_id"]
    before = AuditEvent.objects.count()
    assert client.get(address(name)).status_code == 200
    assert AuditEvent.objects.count() == before


def test_a_suspended_tenants_admin_is_not_let_in(sign_in, tenant):
    client = sign_in("admin", tenant)
    tenant.is_active = False
    tenant.save()
    assert client.get(address("members")).status_code in (403, 404)
