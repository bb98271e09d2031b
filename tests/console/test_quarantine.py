"""What the console shows of quarantine, and who may end it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from modelpool.registry.quarantine import quarantine_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(pool):
    row = pool.versions[1]
    quarantine_version(row.pk, tenant_id=row.tenant_id, reason="<b>it crashed</b>")
    return row


def page(client, version):
    return client.get(reverse("admin:registry_modelversion_change", args=[version.pk])).content.decode()


def test_the_pages_say_so(sign_in, pool, version):
    client = sign_in("viewer", pool.tenant)
    shown = page(client, version)
    assert "&lt;b&gt;it crashed&lt;/b&gt;" in shown
    assert "Release from quarantine" not in shown
    assert (
        "quarantined" in client.get(reverse("console:model", args=[pool.tenant.name, pool.model.name])).content.decode()
    )
    assert "it crashed" not in page(client, pool.versions[0])


@pytest.mark.parametrize(("choice", "numbers"), [("yes", {2}), ("no", {1}), ("", {1, 2})])
def test_the_list_is_filtered(sign_in, pool, version, choice, numbers):
    client = sign_in("viewer", pool.tenant)
    address = reverse("admin:registry_modelversion_changelist")
    response = client.get(address, {"quarantine": choice} if choice else {})
    assert {row.number for row in response.context["cl"].result_list} == numbers


def test_an_admin_releases_it_by_post_only(sign_in, pool, version):
    address = reverse("admin:registry_modelversion_release", args=[version.pk])
    client = sign_in("admin", pool.tenant)
    assert "Release from quarantine" in page(client, version)
    assert client.get(address).status_code == 405
    version.refresh_from_db()
    assert version.quarantined_at is not None
    assert "is released from quarantine" in client.post(address, follow=True).content.decode()
    version.refresh_from_db()
    assert version.quarantined_at is None


def test_a_scientist_does_not_release_it(sign_in, pool, version):
    client = sign_in("scientist", pool.tenant)
    assert "Release from quarantine" not in page(client, version)
    assert client.post(reverse("admin:registry_modelversion_release", args=[version.pk])).status_code == 403


def test_it_is_not_activated(sign_in, pool, version):
    client = sign_in("scientist", pool.tenant)
    address = reverse("admin:registry_modelversion_activate", args=[version.pk])
    assert "is in quarantine" in client.post(address, follow=True).content.decode()
    pool.model.refresh_from_db()
    assert pool.model.active_version.number == 1
