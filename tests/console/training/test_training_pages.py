"""Training by mouse: each step has an address, shows what it must, and refuses with advice."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.urls import reverse

from modelpool.console.training.result import Line
from modelpool.registry.models import RegisteredModel
from modelpool.training.models import Dataset, JobLogLine, JobWorker, TrainerInfo, TrainingJob
from modelpool.training.services import create_dataset

pytestmark = pytest.mark.django_db

COLUMNS = [
    {"name": "age", "dtype": "int64", "missing": 3, "distinct": 60, "min": 18, "max": 90, "mean": 40.5, "top": []},
    {"name": "city", "dtype": "string", "missing": 0, "distinct": 4, "top": [["<i>Rome</i>", 40]]},
    {"name": "left", "dtype": "bool", "missing": 0, "distinct": 2, "top": [["true", 70], ["false", 30]]},
]
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "algorithm": {"enum": ["forest", "tree"], "default": "forest", "description": "Which <b>one</b>."},
        "rounds": {"type": "integer", "minimum": 1, "maximum": 500, "default": 100},
        "rate": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}], "default": None},
        "drop_columns": {"type": "array", "items": {"type": "string"}, "default": []},
    },
}


def at(name, tenant, *args):
    return reverse(f"console:{name}", args=[tenant.name, *args])


@pytest.fixture
def described(tenant, actor):
    TrainerInfo.objects.create(name="tabular_classifier", params_schema=SCHEMA, description="Predict a category.")
    TrainerInfo.objects.create(name="tabular_regressor", params_schema={"type": "object"})
    dataset = create_dataset(tenant, chunks=[b"x,y\n1,2\n"], format="csv", filename="People 2024.csv", actor=actor)
    preview = {"columns": ["age", "city", "left"], "rows": [["44", "<i>Rome</i>", None]]}
    Dataset.objects.for_tenant(tenant).filter(pk=dataset.pk).update(columns=COLUMNS, n_rows=100, preview=preview)
    dataset.refresh_from_db()
    return dataset


def form_for(dataset, **fields):
    return {"dataset": dataset.pk, "target": "left", "model": "people", "trainer": "tabular_classifier", **fields}


def test_the_first_step_offers_to_bring_a_table_and_those_that_are_here(sign_in, tenant, described):
    text = sign_in("scientist", tenant).get(at("train", tenant) + "?model=churn").text
    assert "data-upload" in text
    assert f"?dataset={described.pk}&amp;model=churn" in text


def test_while_nobody_has_read_the_table_the_page_waits_and_says_that_no_worker_runs(sign_in, tenant, actor):
    dataset = create_dataset(tenant, chunks=[b"x\n1\n"], format="csv", filename="d.csv", actor=actor)
    browser, address = sign_in("scientist", tenant), f"{at('train', tenant)}?dataset={dataset.pk}"
    text = browser.get(address).text
    assert 'hx-trigger="every 1s"' in text
    assert "No job worker is running" in text
    JobWorker.objects.create(host="h", pid=1)
    assert "No job worker is running" not in browser.get(address).text


def test_the_second_step_suggests_a_target_and_says_what_each_would_be(sign_in, tenant, described):
    text = sign_in("scientist", tenant).get(f"{at('train', tenant)}?dataset={described.pk}").text
    assert 'value="left" checked' in text
    assert "Regression: a number between 18 and 90. Rows without a value are left out." in text
    assert "Classification: one of 4 values" in text
    assert "every 1s" not in text
    assert "<i>Rome" not in text
    assert "&lt;i&gt;Rome" in text


def test_the_third_step_makes_a_form_of_the_trainers_schema(sign_in, tenant, described):
    text = sign_in("scientist", tenant).get(f"{at('train', tenant)}?dataset={described.pk}&target=left").text
    assert 'value="people-2024"' in text
    assert 'name="param.rounds"' in text
    assert "at least 1, at most 500" in text
    assert 'name="param.drop_columns" value="age"' in text
    assert 'name="param.drop_columns" value="left"' not in text
    assert text.index("Advanced settings") < text.index('name="param.rate"')
    assert "Which <b>one" not in text


def test_starting_queues_a_job_with_what_was_typed(sign_in, tenant, described):
    typed = {"param.rounds": "7", "param.drop_columns": ["age"], "param.rate": "0,5", "activate": "never"}
    answer = sign_in("scientist", tenant).post(at("train", tenant), form_for(described, **typed))
    job = TrainingJob.objects.for_tenant(tenant).get()
    assert answer["Location"] == at("job", tenant, job.pk)
    assert job.params == {"rounds": 7, "drop_columns": ["age"], "rate": 0.5}
    assert (job.target, job.activate, job.model.name) == ("left", "never", "people")


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ({"param.rounds": "many"}, "Write a whole number, such as 100."),
        ({"param.rounds": "0"}, "Must be at least 1, not 0."),
        ({"param.rate": "-1"}, "Must be"),
        ({"param.algorithm": "magic"}, "Must be one of forest, tree"),
        ({"model": "Über"}, "lower-case letters"),
        ({"model": ""}, "Give the model a name."),
        ({"target": "rigth"}, "There is no column &#x27;rigth&#x27;"),
        ({"trainer": "wizard"}, "wizard"),
        ({"activate": "sometimes"}, "activate"),
        ({"trainer": "wiz\0ard", "target": "le\0ft"}, "wizard"),
    ],
)
def test_what_is_wrong_comes_back_beside_what_was_typed(sign_in, tenant, described, typed, advice):
    fields = form_for(described, **{"param.rounds": "77", **typed})
    answer = sign_in("scientist", tenant).post(at("train", tenant), fields)
    assert answer.status_code == 422
    assert advice in answer.text
    assert 'name="model"' in answer.text
    assert not TrainingJob.objects.for_tenant(tenant).exists()
    assert not RegisteredModel.objects.for_tenant(tenant).filter(name="people").exists()


def test_training_again_begins_with_the_settings_of_the_job(sign_in, tenant, described):
    browser = sign_in("scientist", tenant)
    browser.post(at("train", tenant), form_for(described, **{"param.rounds": "7", "activate": "never"}))
    job = TrainingJob.objects.for_tenant(tenant).get()
    text = browser.get(f"{at('train', tenant)}?again={job.pk}", follow=True).text
    assert 'name="param.rounds" value="7"' in text
    assert '<option value="never" selected>' in text
    assert 'value="people"' in text


def test_a_job_that_waits_shows_its_place_and_can_be_cancelled(sign_in, pool):
    browser, address = sign_in("scientist", pool.tenant), at("job", pool.tenant, pool.job.pk)
    text = browser.get(address).text
    assert "next of yours" in text
    assert "No job worker is running" in text
    assert 'data-opens="cancel-job"' in text
    answer = browser.post(at("job-cancel", pool.tenant, pool.job.pk))
    assert answer["Location"] == address
    pool.job.refresh_from_db()
    assert pool.job.state == "cancelled"
    assert "made no version" in browser.get(address).text


def test_a_running_job_shows_its_log_and_its_metrics_over_time(sign_in, pool):
    TrainingJob.objects.for_tenant(pool.tenant).update(
        state="running", progress=0.4, stage="fitting", attempt=1, metrics={"loss": 0.5}
    )
    for step, value in enumerate((0.9, 0.5)):
        data = {"name": "loss", "value": value, "step": step}
        JobLogLine.objects.create(job=pool.job, attempt=1, kind="metric", text="", data=data)
    JobLogLine.objects.create(job=pool.job, attempt=1, text="<b>epoch</b> 1")
    browser = sign_in("viewer", pool.tenant)
    text = browser.get(at("job", pool.tenant, pool.job.pk)).text
    assert 'data-chart="metric-0-data"' in text
    assert "&lt;b&gt;epoch&lt;/b&gt; 1" in text
    assert "cancel-job" not in text
    live = browser.get(at("job-live", pool.tenant, pool.job.pk))
    assert 'value="40"' in live.text
    assert "HX-Refresh" not in live
    assert 'hx-trigger="every 4s"' in browser.get(at("job-curves", pool.tenant, pool.job.pk)).text
    TrainingJob.objects.for_tenant(pool.tenant).update(state="failed")
    assert browser.get(at("job-live", pool.tenant, pool.job.pk))["HX-Refresh"] == "true"


def test_a_failed_job_reads_like_advice(sign_in, pool):
    TrainingJob.objects.for_tenant(pool.tenant).update(
        state="failed", error_code="out_of_memory", error_detail="It needed <more> memory."
    )
    text = sign_in("scientist", pool.tenant).get(at("job", pool.tenant, pool.job.pk)).text
    assert "It needed &lt;more&gt; memory." in text
    assert "Train on fewer rows or columns" in text
    assert f"?again={pool.job.pk}" in text


def test_what_came_of_a_job_stands_beside_the_active_version(sign_in, pool):
    TrainingJob.objects.for_tenant(pool.tenant).update(state="succeeded", version_number=2)
    browser = sign_in("scientist", pool.tenant)
    text = browser.get(at("job", pool.tenant, pool.job.pk)).text
    assert "Version 2 is ready" in text
    assert "Version 1 (active)" in text
    assert "+0.1000" in text
    assert "Activate version 2" in text
    browser.post(at("model-activate", pool.tenant, pool.model.name), {"number": 2})
    text = browser.get(at("job", pool.tenant, pool.job.pk)).text
    assert "Version 1 (before)" in text
    assert "Activate version 2" not in text


@pytest.mark.parametrize(
    ("name", "new", "old", "is_better"),
    [
        ("accuracy", 0.9, 0.8, True),
        ("log_loss", 0.9, 0.8, False),
        ("rmse", 1.0, 2.0, True),
        ("r2", 0.5, 0.5, None),
        ("r2", 0.5, None, None),
        ("cv_r2_std", 0.2, 0.1, None),
    ],
)
def test_a_metric_is_better_or_worse_by_its_kind(name, new, old, is_better):
    assert Line(name, new, old, is_primary=False).is_better is is_better


def test_the_list_of_jobs_filters_and_renews_itself_while_one_is_not_over(sign_in, pool):
    browser, address = sign_in("viewer", pool.tenant), at("jobs", pool.tenant)
    assert "every 2s" in browser.get(address).text
    row = at("job", pool.tenant, pool.job.pk)
    assert row in browser.get(address + "?state=queued&model=chu&trainer=tabular_classifier").text
    for question in ("?state=failed", "?model=other", "?trainer=x", f"?dataset={uuid4()}"):
        assert row not in browser.get(address + question).text
    assert browser.get(address + "?state=nonsense").status_code == 400
    part = browser.get(address, headers={"HX-Request": "true"}).text
    assert row in part
    assert "<html" not in part
    TrainingJob.objects.for_tenant(pool.tenant).update(state="failed")
    assert "every 2s" not in browser.get(address).text


def addresses(pool):
    tenant = pool.tenant
    return [
        ("GET", at("train", tenant)),
        ("POST", at("train", tenant)),
        ("GET", at("jobs", tenant)),
        ("GET", at("job", tenant, pool.job.pk)),
        ("GET", at("job-live", tenant, pool.job.pk)),
        ("GET", at("job-curves", tenant, pool.job.pk)),
        ("POST", at("job-cancel", tenant, pool.job.pk)),
        ("GET", at("datasets", tenant)),
        ("POST", at("dataset-upload", tenant)),
        ("POST", at("dataset-fetch", tenant)),
        ("GET", at("dataset", tenant, pool.dataset.pk)),
        ("GET", at("dataset-download", tenant, pool.dataset.pk)),
        ("POST", at("dataset-change", tenant, pool.dataset.pk)),
        ("POST", at("dataset-delete", tenant, pool.dataset.pk)),
    ]


def test_another_tenants_things_are_not_there(sign_in, pool, foreign_pool):
    browser = sign_in("admin", pool.tenant)
    mixed = [(method, address.replace("umbrella", "acme")) for method, address in addresses(foreign_pool)]
    for method, address in addresses(foreign_pool) + [one for one in mixed if str(foreign_pool.tenant.pk) or one]:
        if any(str(row.pk) in address for row in (foreign_pool.job, foreign_pool.dataset)) or "umbrella" in address:
            assert browser.generic(method, address).status_code == 404, address
    own = at("train", pool.tenant)
    for question in (f"dataset={foreign_pool.dataset.pk}", f"again={foreign_pool.job.pk}", "dataset=nonsense"):
        assert browser.get(f"{own}?{question}").status_code == 404
    assert browser.post(own, {"dataset": foreign_pool.dataset.pk}).status_code == 404


def test_a_viewer_looks_and_changes_nothing(sign_in, pool):
    browser = sign_in("viewer", pool.tenant)
    for method, address in addresses(pool):
        is_shown = method == "GET" and "/train/" not in address and "/download/" not in address
        assert browser.generic(method, address).status_code == (200 if is_shown else 403), address
    pool.job.refresh_from_db()
    assert pool.job.state == "queued"


@pytest.mark.parametrize("n_rows", [1, 30])
def test_lists_ask_as_often_for_many_rows_as_for_one(sign_in, pool, actor, n_rows, django_assert_max_num_queries):
    for number in range(n_rows - 1):
        dataset = create_dataset(pool.tenant, chunks=[b"x\n1\n"], format="csv", filename=f"{number}.csv", actor=actor)
        pool.job.pk, pool.job.dataset = uuid4(), dataset
        pool.job.save(force_insert=True)
    browser = sign_in("scientist", pool.tenant)
    pages = [at("jobs", pool.tenant), at("datasets", pool.tenant), at("train", pool.tenant)]
    pages += [at("job", pool.tenant, pool.job.pk), at("dataset", pool.tenant, pool.job.dataset.pk)]
    for address in pages:
        browser.get(address)
        with django_assert_max_num_queries(22):
            assert browser.get(address).status_code == 200
