from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from modelpool import conf
from modelpool.storage.models import Artifact
from modelpool.tenants import services as tenants
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.training.models import Dataset
from tests.api.v1.wire import Wire, problem
from tests.api.v1.world import World

pytestmark = pytest.mark.django_db
CSV = b"x,y\n1,2\n3,4\n"


@pytest.mark.parametrize(
    ("query", "content_type", "format_name"),
    [
        ("", "text/csv", "csv"),
        ("", "text/csv; charset=utf-8", "csv"),
        ("", "application/vnd.apache.parquet", "parquet"),
        ("", "application/x-ndjson", "jsonl"),
        ("?filename=a.parquet", "application/octet-stream", "parquet"),
        ("?filename=a.JSONL", "application/x-www-form-urlencoded", "jsonl"),
    ],
)
def test_the_format_is_told_by_type_or_name(scientist: Wire, query: str, content_type: str, format_name: str):
    response = scientist.post(f"/datasets{query}", CSV, content_type=content_type)
    assert response.status_code == 201
    document = response.json()
    assert (document["format"], document["size_bytes"]) == (format_name, len(CSV))
    assert document["sha256"] == hashlib.sha256(CSV).hexdigest()
    assert scientist.get(response["Location"]).json() == document


def test_a_form_brings_file_and_name(scientist: Wire):
    file = SimpleUploadedFile("../../etc/pass\twd.csv", CSV, "application/octet-stream")
    document = scientist.send_form("/datasets", {"file": file, "name": "Customers"}).json()
    assert (document["name"], document["format"]) == ("Customers", "csv")


def test_rows_come_as_json(scientist: Wire, tenant: Tenant):
    created = scientist.post("/datasets", {"columns": ["x"], "rows": [[1], [None]], "name": "tiny"})
    assert created.status_code == 201
    assert Dataset.objects.for_tenant(tenant).get().format == "json"
    ragged = scientist.post("/datasets", {"columns": ["x"], "rows": [[1], [2, 3]]})
    assert problem(ragged)["errors"][0]["field"] == "data.rows[1]"


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream", "", "application/zip"])
def test_other_types_are_415_with_a_list(scientist: Wire, content_type: str):
    response = scientist.post("/datasets", CSV, content_type=content_type)
    assert response.status_code == 415
    assert "text/csv" in problem(response)["detail"]


def test_wrong_forms(scientist: Wire):
    def refused(parts: dict[str, Any]) -> tuple[int, str]:
        response = scientist.send_form("/datasets", parts)
        return response.status_code, problem(response).get("errors", [{"field": None}])[0]["field"]

    file = lambda name="a.csv": SimpleUploadedFile(name, CSV, "text/csv")  # noqa: E731
    assert refused({"data": file()}) == (422, "data")
    assert refused({"name": "x"}) == (422, "file")
    assert refused({"file": [file(), file()]}) == (422, "file")
    assert refused({"file": file(), "secret": "x"}) == (422, "secret")
    assert refused({"file": file(), "name": "x" * 201}) == (422, "name")
    assert refused({"file": SimpleUploadedFile("a.csv", b"", "text/csv")})[0] == 400
    broken = scientist.post("/datasets", b"--x\r\nbroken", content_type="multipart/form-data; boundary=")
    assert broken.status_code == 400


def test_an_empty_body_is_refused(scientist: Wire, tenant: Tenant):
    response = scientist.post("/datasets", b"", content_type="text/csv")
    assert (response.status_code, problem(response)["code"]) == (411, "length_required")
    response = scientist.post("/datasets", b"", content_type="text/csv", CONTENT_LENGTH="0")
    assert (response.status_code, problem(response)["code"]) == (400, "malformed")
    assert not Artifact.objects.for_tenant(tenant).exists()


def test_quotas_of_bytes_are_507(scientist: Wire, tenant: Tenant, actor: Actor):
    tenants.update_tenant(tenant, actor=actor, max_storage_bytes=5)
    response = scientist.post("/datasets", CSV, content_type="text/csv")
    assert (response.status_code, problem(response)["code"]) == (507, "storage_quota_exceeded")
    assert not Dataset.objects.for_tenant(tenant).exists()


def test_a_file_over_the_limit_is_413(scientist: Wire, tenant: Tenant, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MODELPOOL_LIMITS_MAX_DATASET", "10B")
    conf.settings.cache_clear()
    try:
        raw = scientist.post("/datasets", CSV, content_type="text/csv")
        form = scientist.send_form("/datasets", {"file": SimpleUploadedFile("a.csv", CSV, "text/csv")})
    finally:
        monkeypatch.undo()
        conf.settings.cache_clear()
    assert (raw.status_code, form.status_code) == (413, 413)
    assert not Dataset.objects.for_tenant(tenant).exists()


def test_a_dataset_that_a_job_needs_stays(scientist: Wire, world: World):
    path = f"/datasets/{world.dataset.pk}"
    assert scientist.delete(path).status_code == 409
    assert scientist.post(f"/jobs/{world.job.pk}/cancel").status_code == 200
    assert scientist.delete(path).status_code == 204
    assert problem(scientist.get(path))["code"] == "dataset_not_found"
    assert [row["id"] for row in scientist.get("/datasets").json()["results"]] == []
