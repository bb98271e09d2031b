"""The home page of a tenant: figures, what needs attention, first steps; and the list of a person's tenants."""

from __future__ import annotations

import csv
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from modelpool.console.sample_data import SAMPLE_NAME, sample_table
from modelpool.core.served import HOUR, MINUTE, N_TIMES, Span
from modelpool.monitoring.history import write_served
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.quarantine import quarantine_version
from modelpool.tenants import services
from modelpool.tenants.models import APIKey
from modelpool.training.models import Dataset, TrainerInfo, TrainingJob

pytestmark = pytest.mark.django_db

_PARTS = ("tenant", "tenant-live", "tenant-serving")


def url(name, tenant, **query):
    asked = "&".join(f"{key}={value}" for key, value in query.items())
    return reverse(f"console:{name}", args=[tenant.name]) + (f"?{asked}" if asked else "")


def count(tenant, model, *, requests, errors=0, age_s=120, version=1):
    """Write down that a version was asked, in a minute and in its hour."""
    moment = int(time.time()) - age_s
    times = [0] * N_TIMES
    times[5] = requests - errors
    spans = [Span(tenant.pk, model.pk, version, length, moment - moment % length) for length in (MINUTE, HOUR)]
    write_served(uuid4(), {span: [requests, 0, errors, *times] for span in spans})


def test_people_of_one_tenant_arrive_there_and_others_choose(sign_in, tenant, other_tenant, actor):
    client = sign_in("scientist", tenant)
    assert client.get(reverse("console:home")).headers["Location"] == url("tenant", tenant)
    services.set_member(
        other_tenant, user=client.get(url("tenant", tenant)).wsgi_request.user, role="viewer", actor=actor
    )
    assert client.get(reverse("console:home")).headers["Location"] == reverse("console:tenants")


def test_another_tenants_home_is_not_there(sign_in, tenant, other_tenant):
    client = sign_in("admin", other_tenant)
    for name in _PARTS:
        assert client.get(url(name, tenant)).status_code == 404
    assert client.post(url("tenant-sample", tenant)).status_code == 404
    assert not Dataset.objects.for_tenant(tenant).exists()


def test_charts_tell_what_was_asked_of_this_tenant_alone(sign_in, pool, foreign_pool):
    count(pool.tenant, pool.model, requests=40, errors=3)
    count(foreign_pool.tenant, foreign_pool.model, requests=5000)
    client = sign_in("viewer", pool.tenant)
    for name in ("tenant", "tenant-serving"):
        for period in ("hour", "day", "nonsense"):
            serving = client.get(url(name, pool.tenant, period=period)).context["serving"]
            assert (serving.n_requests, serving.n_errors) == (40, 3)
            assert serving.p50_ms == pytest.approx(6, rel=0.4)
    minutes = client.get(url("tenant", pool.tenant)).context["serving"].requests.series[0].values
    assert len(minutes) == 60
    assert max(minutes) == 40


def test_a_tenant_that_nobody_asks_has_no_charts(sign_in, pool):
    text = sign_in("viewer", pool.tenant).get(url("tenant", pool.tenant)).text
    assert "Nobody has asked a model in the last hour." in text
    assert "<canvas" not in text


def test_jobs_show_how_far_they_are_without_reload(sign_in, pool):
    TrainingJob.unscoped.filter(pk=pool.job.pk).update(state="running", progress=0.42, stage="fitting")
    client = sign_in("viewer", pool.tenant)
    whole, part = client.get(url("tenant", pool.tenant)).text, client.get(url("tenant-live", pool.tenant)).text
    assert 'hx-trigger="every 2s"' in whole
    assert "<html" not in part
    for text in (whole, part):
        assert "fitting" in text
        assert "42 %" in text


def texts(client, tenant):
    return [(one.level, one.text) for one in client.get(url("tenant", tenant)).context["attention"]]


def test_nothing_needs_attention_in_a_pool_that_is_well(sign_in, pool):
    pool.job.delete()
    assert texts(sign_in("admin", pool.tenant), pool.tenant) == []


def test_what_needs_attention_is_told(sign_in, pool, actor):
    quarantine_version(pool.versions[1].pk, tenant_id=pool.tenant.pk, reason="<b>crashed</b>")
    TrainingJob.unscoped.filter(pk=pool.job.pk).update(state="failed")
    refused = {
        "equal": False,
        "rows": 10,
        "labels_equal": 0.5,
        "max_abs_diff": 1.0,
        "tolerance": 0.1,
        "reason": "It differs.",
    }
    ModelVersion.unscoped.filter(pk=pool.versions[0].pk).update(parity=refused)
    APIKey.objects.create(
        tenant=pool.tenant, role="predictor", prefix="mp", digest="d", expires_at=timezone.now() + timedelta(days=3)
    )
    pool.tenant.max_models = 1
    pool.tenant.save()
    told = dict(map(reversed, texts(sign_in("admin", pool.tenant, name="ada"), pool.tenant)))
    expected = ("in quarantine", "A job of churn failed", "It differs.", "A key expires", "Models: little is left")
    assert [[word for word in expected if word in text] for text in told] == [[word] for word in (
        expected[0], expected[1], expected[4], expected[2], expected[3],
    )]  # fmt: skip
    viewer = sign_in("viewer", pool.tenant, name="vic")
    assert not any("key" in text for _, text in texts(viewer, pool.tenant))
    text = viewer.get(url("tenant", pool.tenant)).text
    assert "<b>crashed</b>" not in text
    assert "&lt;b&gt;crashed" in text


def test_failed_jobs_are_forgotten_after_a_success(sign_in, pool):
    TrainingJob.unscoped.filter(pk=pool.job.pk).update(state="failed")
    later = TrainingJob.unscoped.get(pk=pool.job.pk)
    later.pk, later.state, later.created_at = uuid4(), "succeeded", timezone.now() + timedelta(seconds=1)
    later.save(force_insert=True)
    assert texts(sign_in("viewer", pool.tenant), pool.tenant) == []


def test_models_that_answer_nobody_and_canaries_are_told(sign_in, pool):
    pool.job.delete()
    RegisteredModel.unscoped.filter(pk=pool.model.pk).update(active_version=None)
    client = sign_in("viewer", pool.tenant)
    assert [text for _, text in texts(client, pool.tenant)] == [
        "churn has versions, and none of them is active: it answers nobody."
    ]
    rule = {"id": str(uuid4()), "canary": {"version": 2, "percent": 12.5}}
    RegisteredModel.unscoped.filter(pk=pool.model.pk).update(active_version=pool.versions[0], traffic=rule)
    assert texts(client, pool.tenant) == [("info", "churn: v2 is tried out on 12.5 % of the requests.")]


def test_steps_tick_themselves_off_and_go(sign_in, tenant, actor):
    client = sign_in("scientist", tenant)
    assert client.get(url("tenant", tenant)).context["guide"].n_done == 0
    TrainerInfo.objects.create(name="tabular_classifier", params_schema={"type": "object"})
    made = client.post(url("tenant-sample", tenant))
    dataset = Dataset.objects.for_tenant(tenant).get()
    assert made.status_code == 302
    assert made.headers["Location"].endswith(f"dataset={dataset.pk}")
    client.post(url("tenant-sample", tenant))
    assert Dataset.objects.for_tenant(tenant).get().name == SAMPLE_NAME
    guide = client.get(url("tenant", tenant)).context["guide"]
    assert (guide.has_data, guide.has_version, guide.has_predicted) == (True, False, False)
    assert str(dataset.pk) in guide.train_url


def test_steps_are_over_after_the_first_prediction(sign_in, pool):
    client = sign_in("viewer", pool.tenant)
    guide = client.get(url("tenant", pool.tenant)).context["guide"]
    assert guide.n_done == 2
    assert guide.try_url == reverse("console:version", args=["acme", "churn", 1])
    count(pool.tenant, pool.model, requests=1)
    part = client.get(url("tenant-live", pool.tenant), headers={"HX-Request": "true"})
    assert part.context["guide"].is_over
    assert '<div id="guide" hx-swap-oob="true"></div>' in part.text


def test_viewers_see_no_buttons_and_may_add_nothing(sign_in, tenant):
    client = sign_in("viewer", tenant)
    text = client.get(url("tenant", tenant)).text
    assert "Upload a table" not in text
    assert url("tenant-sample", tenant) not in text
    assert client.post(url("tenant-sample", tenant)).status_code == 403


def test_sample_is_the_same_each_time_and_can_be_learnt():
    rows = list(csv.DictReader(sample_table().decode().splitlines()))
    assert sample_table() == sample_table()
    assert len(rows) == 600
    monthly = [row["left"] == "yes" for row in rows if row["plan"] == "monthly"]
    for_long = [row["left"] == "yes" for row in rows if row["plan"] == "two years"]
    assert sum(monthly) / len(monthly) > 2 * sum(for_long) / len(for_long)
    n_left = sum(row["left"] == "yes" for row in rows)
    assert 120 < n_left < 360
    assert any(not row["age"] for row in rows)


def _models(tenant, actor, *, start, n):
    for at in range(start, start + n):
        model = RegisteredModel.unscoped.create(tenant=tenant, name=f"m{at}", last_number=1)
        count(tenant, model, requests=1)


def test_home_asks_the_database_no_more_with_more_models(sign_in, tenant, actor, django_assert_max_num_queries):
    client = sign_in("admin", tenant)
    for start, n in ((0, 1), (1, 29)):
        _models(tenant, actor, start=start, n=n)
        with django_assert_max_num_queries(36):
            assert client.get(url("tenant", tenant)).status_code == 200


def test_tenants_are_listed_with_a_line_each(sign_in, pool, foreign_pool, other_tenant, actor):
    client = sign_in("scientist", pool.tenant)
    count(pool.tenant, pool.model, requests=7)
    page = client.get(reverse("console:tenants"))
    (one,) = page.context["summaries"]
    assert (one.use.tenant, one.role, one.use.n_models, one.n_active, one.n_requests) == (
        pool.tenant,
        "scientist",
        1,
        1,
        7,
    )
    assert "umbrella" not in page.text
    assert "No tenant fits" in client.get(reverse("console:tenants") + "?q=umbrella").text


def test_list_of_tenants_asks_the_database_no_more_with_more_of_them(sign_in, actor, django_assert_max_num_queries):
    client = sign_in("operator")
    for start, n in ((0, 1), (1, 29)):
        for at in range(start, start + n):
            services.create_tenant(name=f"t{at:02}", actor=actor)
        with django_assert_max_num_queries(14):
            assert len(client.get(reverse("console:tenants")).context["summaries"]) >= start + n
    found = client.get(reverse("console:tenants") + "?q=t29").context["summaries"]
    assert [one.use.tenant.name for one in found] == ["t29"]
