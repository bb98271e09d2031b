"""What somebody tried and their role did not let them stands in the audit trail."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from modelpool.tenants.models import AuditEvent

pytestmark = pytest.mark.django_db


def denials():
    return AuditEvent.objects.filter(action="access", outcome="denied")


def test_it_is_told_to_the_tenants_administrators(sign_in, pool):
    address = reverse("console:model-delete", args=[pool.tenant.name, pool.model.name])
    assert sign_in("viewer", pool.tenant, name="vic").post(address, {"confirmed": pool.model.name}).status_code == 403
    (event,) = denials()
    assert (event.tenant_name, event.actor_label, event.target) == (pool.tenant.name, "vic", f"POST {address}")
    assert event.details == {"needs": "develop"}
    trail = reverse("console:audit", args=[pool.tenant.name])
    assert address in sign_in("admin", pool.tenant, name="ada").get(trail, {"outcome": "denied"}).text


def test_it_is_told_to_operators(sign_in, tenant):
    address = reverse("console:operate-tenant-delete", args=[tenant.name])
    assert sign_in("admin", tenant).post(address).status_code == 403
    (event,) = denials()
    assert (event.tenant_name, event.details) == ("", {"needs": "operate"})


def test_looking_and_what_a_strange_site_sends_are_not_told(sign_in, pool, foreign_pool):
    vic = sign_in("viewer", pool.tenant)
    assert vic.get(reverse("console:members", args=[pool.tenant.name])).status_code == 403
    forged = Client(enforce_csrf_checks=True)
    forged.cookies = vic.cookies
    assert forged.post(reverse("console:members", args=[pool.tenant.name])).status_code == 403
    theirs = reverse("console:model-activate", args=[foreign_pool.tenant.name, foreign_pool.model.name])
    assert vic.post(theirs).status_code == 404
    assert not denials().exists()
