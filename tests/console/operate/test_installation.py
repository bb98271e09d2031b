"""What operators see of machines, jobs, settings and the whole."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from modelpool.monitoring.models import LoadedVersion, ServedSpan, ServingProcess, VersionUse
from modelpool.registry.quarantine import quarantine_version
from modelpool.storage.models import StoreTrouble
from modelpool.tenants import services
from modelpool.training.models import JobWorker, TrainerProblem, TrainingJob

pytestmark = pytest.mark.django_db


def page(name, *args):
    return reverse(f"console:operate-{name}", args=args)


@pytest.fixture
def machine(pool):
    """One machine with a web process that holds a model, and a worker that is at the pool's job."""
    now = timezone.now()
    process = ServingProcess.objects.create(
        node="north-1", pid=4711, seen_at=now - timedelta(seconds=20), budget_bytes=2**30, held_bytes=2**29, n_models=1
    )
    LoadedVersion.unscoped.create(
        tenant=pool.tenant, process=process, version=pool.versions[0], size_bytes=2**29, since=now
    )
    worker = JobWorker.objects.create(id=uuid4(), host="north-1", pid=815, started_at=now, seen_at=now)
    TrainingJob.unscoped.filter(pk=pool.job.pk).update(
        state="running", worker=f"north-1:815:{worker.id.hex[:8]}", stage="fitting"
    )
    return worker


def test_nodes_show_processes_workers_and_what_is_held(sign_in, machine, pool):
    client = sign_in("operator")
    whole = client.get(page("nodes")).text
    part = client.get(page("nodes"), headers={"HX-Request": "true"}).text
    assert "<html" in whole
    assert "<html" not in part
    for text in (whole, part):
        for expected in ("north-1", "4711", "512 MiB of 1.0 GiB", "815", "churn v1", "acme/churn", "fitting"):
            assert expected in text


def test_a_worker_without_a_sign_of_life_is_dead(sign_in, machine):
    JobWorker.objects.update(seen_at=timezone.now() - timedelta(seconds=100))
    client = sign_in("operator")
    assert "dead" in client.get(page("nodes")).text
    assert "No job worker is alive" in client.get(reverse("console:operate")).text


def test_jobs_of_all_tenants_are_filtered(sign_in, pool, foreign_pool):
    client = sign_in("operator")
    whole = client.get(page("jobs")).text
    assert str(pool.job.pk)[:8] in whole
    assert str(foreign_pool.job.pk)[:8] in whole
    for asked in ({"tenant": "umbrella"}, {"model": "virus"}, {"state": "queued", "tenant": "umbrella"}):
        found = client.get(page("jobs"), asked).context["jobs"]
        assert [job.pk for job, _label in found] == [foreign_pool.job.pk]
    assert "No job fits" in client.get(page("jobs"), {"trainer": "none"}).text
    assert client.get(page("jobs"), {"state": "late"}).status_code == 400


def test_the_rows_renew_themselves_while_jobs_run(sign_in, pool):
    client = sign_in("operator")
    part = client.get(page("jobs"), headers={"HX-Request": "true"}).text
    assert "every 3s" in part
    assert f'id="cancel-{pool.job.pk}"' in part
    assert "<html" not in part
    TrainingJob.unscoped.update(state="succeeded")
    assert "every 3s" not in client.get(page("jobs"), headers={"HX-Request": "true"}).text


def test_an_operator_cancels_a_job_of_any_tenant(sign_in, foreign_pool):
    client, address = sign_in("operator"), page("job-cancel", foreign_pool.job.pk)
    assert "is being cancelled" in client.post(address, follow=True).text
    foreign_pool.job.refresh_from_db()
    assert foreign_pool.job.state == "cancelled"
    assert "cancelled" in client.post(address, follow=True).text
    assert client.post(page("job-cancel", uuid4())).status_code == 404


def test_settings_show_value_origin_and_default(sign_in, monkeypatch):
    monkeypatch.setenv("MODELPOOL_JOBS_TIMEOUT", "2h")
    found = settings_of(sign_in("operator").get(page("settings")))
    assert found["jobs.timeout"].origin == "MODELPOOL_JOBS_TIMEOUT"
    assert found["serving.max_queue"].is_default


def settings_of(answer):
    return {setting.key: setting for _section, some in answer.context["sections"] for setting in some}


def test_settings_are_searched(sign_in):
    client = sign_in("operator")
    found = settings_of(client.get(page("settings"), {"q": "TIMEOUT jobs"}))
    assert set(found) == {"jobs.timeout"}
    assert "No setting fits" in client.get(page("settings"), {"q": "zzz"}).text
    assert all(not setting.is_default for setting in settings_of(client.get(page("settings"), {"set": "yes"})).values())


def test_the_overview_says_what_needs_attention(sign_in, pool, actor):
    quarantine_version(pool.versions[1].pk, tenant_id=pool.tenant.pk, reason="<b>it crashed</b>")
    TrainerProblem.objects.create(source="trainers/own.py", detail="SyntaxError")
    TrainingJob.unscoped.filter(pk=pool.job.pk).update(state="failed")
    services.create_key(tenant=None, role="operator", actor=actor, expires_in_days=3)
    text = sign_in("operator").get(reverse("console:operate")).text
    for expected in (
        "No job worker is alive",
        "acme/churn v2 is in quarantine: &lt;b&gt;it crashed&lt;/b&gt;",
        "Trainers of trainers/own.py could not be loaded: SyntaxError",
        "A job of the last day failed.",
        "key expires soon",
    ):
        assert expected in text


def test_the_overview_says_when_all_is_well(sign_in, machine):
    assert "Nothing: workers are alive" in sign_in("operator").get(reverse("console:operate")).text


def test_a_store_that_fails_needs_attention(sign_in, machine):
    now = timezone.now()
    failing = StoreTrouble.objects.create(node="north-1", store="bucket", failed_at=now, detail="does not answer")
    StoreTrouble.objects.create(node="north-2", store="dav", failed_at=now - timedelta(days=2), detail="long ago")
    client = sign_in("operator")
    assert "Store bucket fails on north-1: does not answer" in client.get(reverse("console:operate")).text
    shown = client.get(page("nodes")).text
    assert "does not answer" in shown
    assert "long ago" not in shown
    StoreTrouble.objects.filter(pk=failing.pk).update(worked_at=now + timedelta(seconds=1))
    assert "Store bucket failed on north-1 in the last day" in client.get(reverse("console:operate")).text
    assert "works since" in client.get(page("nodes")).text


def test_a_job_that_waits_long_needs_attention(sign_in, machine, foreign_pool):
    TrainingJob.unscoped.filter(pk=foreign_pool.job.pk).update(created_at=timezone.now() - timedelta(minutes=11))
    assert "more workers would help" in sign_in("operator").get(reverse("console:operate")).text


def test_figures_add_up_requests_and_storage(sign_in, pool, foreign_pool):
    today = timezone.now().date()
    for one in (pool, foreign_pool):
        VersionUse.unscoped.create(tenant=one.tenant, version=one.versions[0], day=today, requests=21)
        start = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=5)
        ServedSpan.unscoped.create(
            tenant=one.tenant, source=uuid4(), seconds=60, start=start, model=one.model, version=1, requests=4, errors=1
        )
    context = sign_in("operator").get(page("figures")).context
    assert (context["serving"].n_requests, context["serving"].n_errors) == (8, 2)
    assert context["requests"].series[0].values[-1] == 42
    (row,) = context["stores"]
    assert (row["store"], row["n"]) == ("default", 6)


@pytest.mark.parametrize("name", ["operate", "operate-nodes", "operate-jobs", "operate-settings", "operate-figures"])
def test_pages_ask_the_database_as_much_for_many_as_for_one(
    sign_in, machine, pool, actor, name, django_assert_max_num_queries
):
    client, address = sign_in("operator"), reverse(f"console:{name}")
    with django_assert_max_num_queries(18) as few:
        client.get(address)
    for number in range(30):
        TrainingJob.unscoped.create(
            tenant=services.create_tenant(f"t{number}", actor=actor), model=pool.model, trainer="x", timeout_s=1,
            memory_limit_bytes=1,
        )  # fmt: skip
        JobWorker.objects.create(id=uuid4(), host=f"south-{number}", pid=number)
    with django_assert_max_num_queries(len(few)):
        client.get(address)
