"""What the buttons do, and for whom."""

from __future__ import annotations

import hashlib

import pytest
from django.urls import reverse

from modelpool.registry.models import ModelAlias, ModelVersion
from modelpool.training.models import Dataset

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
    assert do(client, "training_trainingjob_cancel", pool.job).status_code == 403
    assert do(client, "training_dataset_download", pool.dataset).status_code == 403
    assert do(client, "training_dataset_keep", pool.dataset).status_code == 403
    assert active_number(pool) == 1


def test_another_tenants_rows_are_out_of_reach(sign_in, tenant, foreign_pool):
    client = sign_in("admin", tenant)
    for name, row in [
        ("registry_modelversion_activate", foreign_pool.versions[1]),
        ("registry_modelversion_download", foreign_pool.versions[0]),
        ("registry_modelversion_remove", foreign_pool.versions[1]),
        ("training_trainingjob_cancel", foreign_pool.job),
        ("training_dataset_download", foreign_pool.dataset),
        ("training_dataset_keep", foreign_pool.dataset),
        ("training_dataset_remove", foreign_pool.dataset),
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


def test_a_queued_job_is_cancelled(sign_in, pool):
    do(sign_in("scientist", pool.tenant), "training_trainingjob_cancel", pool.job)
    pool.job.refresh_from_db()
    assert pool.job.state == "cancelled"


def test_a_dataset_is_deleted(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    do(client, "training_trainingjob_cancel", pool.job)
    do(client, "training_dataset_remove", pool.dataset)
    assert not Dataset.objects.for_tenant(pool.tenant).exists()


def test_a_datasets_file_is_downloaded(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    response = do(client, "training_dataset_download", pool.dataset)
    assert b"".join(response.streaming_content) == b"x,y\n1,2\n"
    assert "d.csv" in response["Content-Disposition"]
    parquet = do(client, "training_dataset_download", pool.dataset, artifact="table")
    assert "has no table file" in parquet.content.decode()


def test_a_dataset_is_kept_until_a_day_or_for_good(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    assert "until 2999-01-31 23:59 UTC" in do(client, "training_dataset_keep", pool.dataset, until="2999-01-31").text
    pool.dataset.refresh_from_db()
    assert pool.dataset.expires_at.isoformat() == "2999-01-31T23:59:59+00:00"
    for wrong in ("2001-01-31", "tomorrow"):
        assert "2030-01-31" in do(client, "training_dataset_keep", pool.dataset, until=wrong).content.decode()
    assert 'value="2999-01-31"' in client.get(reverse("admin:training_dataset_change", args=[pool.dataset.pk])).text
    do(client, "training_dataset_keep", pool.dataset, until="")
    pool.dataset.refresh_from_db()
    assert pool.dataset.expires_at is None
