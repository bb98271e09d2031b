"""Forms that lack what decides: nothing said is never taken for no, none or for good."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from modelpool.registry.services import update_version
from modelpool.tenants import services
from modelpool.training.models import Dataset

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"


@pytest.mark.parametrize("said", [{}, {"is_active": ""}, {"is_active": "0"}, {"is_active": "False"}])
def test_nobody_is_locked_out_by_an_empty_form(sign_in, tenant, said):
    olga = sign_in("operator", name="olga")
    vic = sign_in("viewer", tenant, name="vic")
    person = services.get_user("vic")
    olga.post(reverse("console:operate-person-active", args=[person.pk]), said)
    olga.post(reverse("console:operate-tenant-state", args=[tenant.name]), said)
    olga.post(reverse("console:operate-person-operator", args=[person.pk]), said)
    tenant.refresh_from_db()
    person.refresh_from_db()
    assert (tenant.is_active, person.is_active, person.is_operator) == (True, True, False)
    assert vic.get(reverse("console:tenant", args=[tenant.name])).status_code == 200


def test_what_is_not_sent_is_not_changed(sign_in, pool, actor):
    ann, (version, _other) = sign_in("scientist", pool.tenant), pool.versions
    moment = timezone.now() + timedelta(days=3)
    Dataset.objects.for_tenant(pool.tenant).filter(pk=pool.dataset.pk).update(expires_at=moment)
    ann.post(reverse("console:dataset-change", args=[pool.tenant.name, pool.dataset.pk]), {"name": "Sales"})
    pool.dataset.refresh_from_db()
    assert (pool.dataset.name, pool.dataset.expires_at) == ("Sales", moment)
    update_version(version, actor=actor, description="kept", tags={"stage": "test"})
    ann.post(reverse("console:version-describe", args=[pool.tenant.name, pool.model.name, version.number]))
    version.refresh_from_db()
    assert (version.description, version.tags) == ("kept", {"stage": "test"})


def test_a_session_from_before_a_lock_out_stays_ended(sign_in, tenant, actor):
    vic = services.create_user("vic", password=PASSWORD, actor=actor)
    services.set_member(tenant, user=vic, role="viewer", actor=actor)
    browser, home = Client(), reverse("console:tenant", args=[tenant.name])
    browser.post(reverse("console:login"), {"login": "vic", "password": PASSWORD})
    assert browser.get(home).status_code == 200
    olga, address = sign_in("operator", name="olga"), reverse("console:operate-person-active", args=[vic.pk])
    olga.post(address, {"is_active": "false"})
    olga.post(address, {"is_active": "true"})
    assert browser.get(home).status_code == 302
    again = Client()
    again.post(reverse("console:login"), {"login": "vic", "password": PASSWORD})
    assert again.get(home).status_code == 200
