"""What the buttons do, and for whom."""

from __future__ import annotations

import hashlib

import pytest
from django.urls import reverse

from modelpool.registry.models import ModelAlias, ModelVersion

pytestmark = pytest.mark.django_db


def do(client, name, row, **data):
    return client.post(reverse(f"admin:{name}", args=[row.pk]), data, follow=True)


def active_number(pool):
    pool.model.refresh_from_db()
    return pool.model.active_version and pool.model.active_version.number


@pytest.mark.parametrize("role", ["viewer", "predictor"])
def test_a_lesser_role_changes_nothing(sign_in, pool, role):
    client = sign_in(role, pool.tenant)
    assert do(client, "registry_modelversion_activate", pool.versions[1]).status_code == 403
    assert do(client, "registry_modelversion_download", pool.versions[1]).status_code == 403
    assert active_number(pool) == 1


def test_another_tenants_rows_are_out_of_reach(sign_in, tenant, foreign_pool):
    client = sign_in("admin", tenant)
    for name, row in [
        ("registry_modelversion_activate", foreign_pool.versions[1]),
        ("registry_modelversion_download", foreign_pool.versions[0]),
        ("registry_modelversion_remove", foreign_pool.versions[1]),
    ]:
        assert do(client, name, row).status_code == 404, name
    assert active_number(foreign_pool) == 1


def test_a_download_is_the_stored_file(sign_in, pool):
    response = do(sign_in("scientist", pool.tenant), "registry_modelversion_download", pool.versions[1])
    content = b"".join(response.streaming_content)
    assert hashlib.sha256(content).hexdigest() == pool.versions[1].sha256
    assert response["Content-Disposition"].startswith("attachment")


def test_an_alias_is_set(sign_in, pool):
    do(sign_in("scientist", pool.tenant), "registry_modelversion_alias", pool.versions[1], alias="champion")
    assert ModelAlias.objects.for_tenant(pool.tenant).get().version_id == pool.versions[1].pk


def test_a_version_is_deleted_but_not_the_active_one(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    response = do(client, "registry_modelversion_remove", pool.versions[0])
    assert "activate another" in response.content.decode()
    do(client, "registry_modelversion_remove", pool.versions[1])
    states = ModelVersion.objects.for_tenant(pool.tenant).order_by("number").values_list("state", flat=True)
    assert list(states) == ["ready", "deleted"]
