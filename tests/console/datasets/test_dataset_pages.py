"""Datasets: how they come, what their pages show, and what can be done with them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from msgspec import structs

from modelpool import conf
from modelpool.storage.models import Artifact, Upload
from modelpool.storage.resumable import append, begin_upload
from modelpool.training.models import Dataset

pytestmark = pytest.mark.django_db


def at(name, tenant, *args):
    return reverse(f"console:{name}", args=[tenant.name, *args])


def whole(tenant, actor, data=b"x,y\n1,2\n", name="d.csv"):
    upload = begin_upload(tenant, length=len(data), actor=actor, filename=name)
    return append(upload, offset=0, chunks=[data])


def test_a_file_in_one_request_becomes_a_dataset(sign_in, tenant):
    browser = sign_in("scientist", tenant)
    answer = browser.post(at("dataset-upload", tenant), {"file": SimpleUploadedFile("sales.csv", b"x,y\n1,2\n")})
    dataset = Dataset.objects.for_tenant(tenant).get()
    assert answer["Location"] == at("dataset", tenant, dataset.pk)
    assert (dataset.name, dataset.format, dataset.size_bytes) == ("sales.csv", "csv", 8)


def test_a_file_that_came_in_pieces_becomes_a_dataset_and_leads_on_to_training(sign_in, tenant, actor):
    upload = whole(tenant, actor)
    form = {"upload": str(upload.pk), "then": "train", "model": "churn"}
    answer = sign_in("scientist", tenant).post(at("dataset-upload", tenant), form)
    dataset = Dataset.objects.for_tenant(tenant).get()
    assert answer["Location"] == f"{at('train', tenant)}?dataset={dataset.pk}&model=churn"
    assert not Upload.objects.for_tenant(tenant).exists()


def test_an_upload_that_cannot_be_used_says_why_and_makes_nothing(sign_in, tenant, other_tenant, actor):
    browser = sign_in("scientist", tenant)
    unfinished = begin_upload(tenant, length=10, actor=actor, filename="d.csv")
    cases = [
        ({"upload": str(whole(other_tenant, actor).pk)}, "There is no upload"),
        ({"upload": str(unfinished.pk)}, "0 of 10"),
        ({"upload": "nonsense"}, "is not the id of an upload"),
        ({"upload": str(whole(tenant, actor, name="notes.txt").pk)}, "is not a table"),
        ({}, "choose a file first"),
        ({"file": SimpleUploadedFile("empty.csv", b"")}, "empty"),
    ]
    for form, words in cases:
        text = browser.post(at("dataset-upload", tenant), form, headers={"Referer": "http://testserver/console/"},
                            follow=True).text  # fmt: skip
        assert words in text, form
    assert not Dataset.objects.for_tenant(tenant).exists()


@pytest.fixture
def sources(monkeypatch):
    """A query with a parameter and a store, of which the operator lets ``acme`` use both."""
    sql = conf.SqlSourceSettings(
        url="sqlite:////nowhere", query="select :year", parameters=("year",), tenants=("acme",)
    )
    store = conf.StoreSourceSettings(store="default", tenants=("*",))
    datasets = structs.replace(conf.settings().datasets, sources={"sales": sql, "lake": store})
    settings = structs.replace(conf.settings(), datasets=datasets)
    monkeypatch.setattr(conf, "settings", lambda: settings)


@pytest.mark.usefixtures("sources")
def test_a_table_is_fetched_from_a_source_that_the_operator_allows(sign_in, tenant):
    browser = sign_in("scientist", tenant)
    text = browser.get(at("datasets", tenant)).text
    assert 'name="parameter.year"' in text
    assert 'name="object"' in text
    browser.post(at("dataset-fetch", tenant), {"source": "sales", "parameter.year": "2024", "name": "S"})
    answer = browser.post(at("dataset-fetch", tenant), {"source": "lake", "object": "2024/flats.csv.gz"})
    found = {one.name: one for one in Dataset.objects.for_tenant(tenant)}
    assert found["S"].origin == {"source": "sales", "parameters": {"year": 2024}}
    assert found["flats.csv.gz"].origin == {"source": "lake", "object": "2024/flats.csv.gz"}
    text = browser.get(answer["Location"]).text
    assert "A worker fetches the table" in text
    assert "No job worker is running" in text


@pytest.mark.usefixtures("sources")
def test_a_request_that_no_source_takes_says_why(sign_in, other_tenant):
    browser, address = sign_in("scientist", other_tenant), at("dataset-fetch", other_tenant)
    assert "parameter.year" not in browser.get(at("datasets", other_tenant)).text
    for form, words in [
        ({"source": "sales", "parameter.year": "1"}, "choose one of the sources"),
        ({"source": "lake", "object": "../secrets"}, "must be the path of a file"),
        ({}, "choose one of the sources"),
    ]:
        assert words in browser.post(address, form, follow=True).text
    assert not Dataset.objects.for_tenant(other_tenant).exists()


def test_the_list_shows_the_quota_searches_and_renews_itself_while_one_is_read(sign_in, pool):
    browser, address = sign_in("viewer", pool.tenant), at("datasets", pool.tenant)
    text = browser.get(address).text
    assert "every 2s" in text
    assert "are used, by datasets and models together" in text
    assert "data-upload" not in text
    row = at("dataset", pool.tenant, pool.dataset.pk)
    assert row in browser.get(address + "?q=D.C&format=csv&ordering=-size").text
    assert row not in browser.get(address + "?q=other").text
    assert row not in browser.get(address + "?format=parquet").text
    Dataset.objects.for_tenant(pool.tenant).update(columns=[])
    assert "every 2s" not in browser.get(address).text


def test_a_dataset_shows_its_columns_and_what_was_made_of_it(sign_in, pool):
    spread = {"quantiles": [0, 1, 2, 3, 4], "edges": [0, 1, 2], "counts": [3, 4]}
    facts = {"name": "<b>x</b>", "dtype": "int64", "missing": 1, "distinct": 5, "min": 0, "max": 9, "mean": 4.5}
    columns = [{**facts, "distribution": spread, "top": []}]
    preview = {"columns": ["x"], "rows": [["<u>cell</u>"]]}
    Dataset.objects.for_tenant(pool.tenant).update(columns=columns, n_rows=8, preview=preview)
    text = sign_in("scientist", pool.tenant).get(at("dataset", pool.tenant, pool.dataset.pk)).text
    assert "<svg" in text
    assert "&lt;b&gt;x" in text
    assert "&lt;u&gt;cell" in text
    assert "<u>cell" not in text
    assert at("job", pool.tenant, pool.job.pk) in text
    assert "A job that is not over needs it" in text


def test_a_viewer_sees_no_rows(sign_in, pool):
    columns = [{"name": "x", "dtype": "string", "missing": 0, "distinct": 1, "top": [["secret word", 1]]}]
    preview = {"columns": ["x"], "rows": [["secret cell"]]}
    Dataset.objects.for_tenant(pool.tenant).update(columns=columns, n_rows=1, preview=preview)
    assert "secret" not in sign_in("viewer", pool.tenant).get(at("dataset", pool.tenant, pool.dataset.pk)).text


def test_a_dataset_that_could_not_be_read_says_why(sign_in, pool):
    Dataset.objects.for_tenant(pool.tenant).update(columns=[], warning="Row 3 has <4> cells.")
    text = sign_in("viewer", pool.tenant).get(at("dataset", pool.tenant, pool.dataset.pk)).text
    assert "Row 3 has &lt;4&gt; cells." in text
    assert "every 1s" not in text


def test_files_are_downloaded(sign_in, pool):
    browser, address = sign_in("scientist", pool.tenant), at("dataset-download", pool.tenant, pool.dataset.pk)
    answer = browser.get(address)
    assert b"".join(answer.streaming_content) == b"x,y\n1,2\n"
    assert "d.csv" in answer["Content-Disposition"]
    assert browser.get(address + "?artifact=table").status_code == 404
    assert browser.get(address + "?artifact=nonsense").status_code == 404


def test_a_dataset_is_renamed_and_kept(sign_in, pool):
    browser, address = sign_in("scientist", pool.tenant), at("dataset-change", pool.tenant, pool.dataset.pk)
    browser.post(address, {"name": "Sales", "until": "2999-01-31"})
    pool.dataset.refresh_from_db()
    assert (pool.dataset.name, pool.dataset.expires_at) == ("Sales", datetime(2999, 1, 31, 23, 59, 59, tzinfo=UTC))
    browser.post(address, {"name": "Sales", "until": "2001-01-01"})
    browser.post(address, {"name": "Sales", "until": "soon"})
    pool.dataset.refresh_from_db()
    assert pool.dataset.expires_at.year == 2999
    browser.post(address, {"name": "Sales", "until": ""})
    pool.dataset.refresh_from_db()
    assert pool.dataset.expires_at is None


@pytest.mark.parametrize("name", ["two\nlines", "txt.\u202eexe", "x" * 201])
def test_a_name_is_one_line_that_reads_as_it_is_written(sign_in, pool, name):
    client, dataset = sign_in("scientist", pool.tenant), pool.dataset
    for address in (
        reverse("console:dataset-change", args=[pool.tenant.name, dataset.pk]),
        reverse("console:dataset-upload", args=[pool.tenant.name]),
    ):
        file = SimpleUploadedFile("t.csv", b"x,y\n1,2\n")
        response = client.post(address, {"name": name, "file": file}, follow=True)
        assert "must be one line" in response.text, address
    assert [one.name for one in Dataset.objects.for_tenant(pool.tenant)] == ["d.csv"]


def test_a_dataset_is_deleted_once_no_job_needs_it(sign_in, pool):
    browser, address = sign_in("scientist", pool.tenant), at("dataset-delete", pool.tenant, pool.dataset.pk)
    assert "still needs dataset" in browser.post(address, follow=True).text
    browser.post(at("job-cancel", pool.tenant, pool.job.pk))
    assert browser.post(address)["Location"] == at("datasets", pool.tenant)
    assert not Dataset.objects.for_tenant(pool.tenant).exists()
    stored = Artifact.objects.for_tenant(pool.tenant).filter(pk=pool.dataset.artifact_id)
    assert not stored.exclude(state=Artifact.State.DELETED).exists()
