"""Workers that are killed, stalled or told to end in the middle of a job: it is neither lost nor published twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now

from modelpool import conf
from modelpool.registry.models import ModelVersion
from modelpool.storage.models import Artifact
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.training import services
from modelpool.training.models import JobWorker, TrainingJob
from tests.training.conftest import MakeJob
from tests.training.processes import WorkerProcess, is_alive, wait_for, wait_for_end

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(180)]

State = TrainingJob.State
StartWorker = Callable[..., WorkerProcess]


def wait_for_fit(marker: Path, *, count: int = 1) -> list[int]:
    """Wait until the trainer has begun so many times; return the numbers of its processes."""
    wait_for(lambda: marker.exists() and len(marker.read_text().split()) >= count)
    return [int(line) for line in marker.read_text().split()]


def versions() -> list[int]:
    return list(ModelVersion.unscoped.order_by("number").values_list("number", flat=True))


def test_a_job_whose_worker_is_killed_is_done_by_another(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    job = make_job(tenant, params={"seconds": 2.0, "marker": str(marker)})
    first = start_worker()
    [child] = wait_for_fit(marker)
    first.process.kill()
    first.wait()
    wait_for(lambda: not is_alive(child), timeout_s=5)
    start_worker()
    job = wait_for_end(job)
    assert (job.state, job.attempt, job.version_number, job.error_detail) == (State.SUCCEEDED, 2, 1, "")
    assert versions() == [1]
    assert wait_for_fit(marker, count=2)[1] != child
    wait_for(lambda: not list(conf.home().tmp_dir.glob("work-train-*")))  # that of the killed worker as well


def test_a_worker_that_stalls_cannot_publish_when_it_wakes_up(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    job = make_job(tenant, params={"seconds": 3.0, "marker": str(marker)})
    zombie = start_worker()
    [child] = wait_for_fit(marker)
    zombie.stall()
    start_worker()
    wait_for_fit(marker, count=2)
    zombie.send(signal.SIGCONT)
    wait_for(lambda: "lease of attempt 1 is lost" in zombie.log)
    wait_for(lambda: not is_alive(child))
    job = wait_for_end(job)
    assert (job.state, job.attempt, job.error_detail) == (State.SUCCEEDED, 2, "")
    assert versions() == [1]
    assert Artifact.unscoped.filter(state=Artifact.State.READY).count() == 1 + len(_files(job))


def _files(job: TrainingJob) -> list[Artifact]:
    version = ModelVersion.unscoped.select_related("artifact", "compiled").get(job_id=job.pk)
    return [file for file in (version.artifact, version.compiled) if file is not None]


@pytest.mark.parametrize("step", ["artifact.chunk", "artifact.verified", "version.inserted"])
def test_a_worker_killed_while_it_stores_leaves_no_half_version(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, step: str
) -> None:
    job = make_job(tenant, "straight_line")
    first = start_worker(MODELPOOL_FAILPOINT=step)
    assert first.wait(60) == -signal.SIGKILL
    assert versions() == []
    start_worker()
    job = wait_for_end(job)
    assert (job.state, job.attempt, job.version_number, job.error_detail) == (State.SUCCEEDED, 2, 1, "")
    assert versions() == [1]
    assert Artifact.unscoped.filter(state=Artifact.State.READY).count() == 1 + len(_files(job))


def test_a_worker_killed_after_the_commit_changes_nothing(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker
) -> None:
    job = make_job(tenant, "straight_line")
    first = start_worker(MODELPOOL_FAILPOINT="version.registered")
    assert first.wait(60) == -signal.SIGKILL
    job.refresh_from_db()
    assert (job.state, job.attempt, job.version_number) == (State.SUCCEEDED, 1, 1)
    assert versions() == [1]


def test_a_draining_worker_gives_its_job_back_unharmed(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    job = make_job(tenant, params={"seconds": 60.0, "marker": str(marker)})
    waits = make_job(tenant, "straight_line", model="other")
    worker = start_worker()
    [child] = wait_for_fit(marker)
    worker.send(signal.SIGTERM)
    assert worker.wait(20) == 0
    job.refresh_from_db()
    waits.refresh_from_db()
    assert (job.state, job.attempt, job.lease_until) == (State.QUEUED, 0, None)
    assert waits.state == State.QUEUED
    assert not is_alive(child)
    assert not JobWorker.objects.exists()


def test_a_draining_worker_lets_a_short_job_end(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    job = make_job(tenant, params={"seconds": 2.0, "marker": str(marker)})
    worker = start_worker(MODELPOOL_SERVER_DRAIN_TIMEOUT="60")
    wait_for_fit(marker)
    worker.send(signal.SIGTERM)
    assert worker.wait(40) == 0
    job.refresh_from_db()
    assert (job.state, job.attempt, versions()) == (State.SUCCEEDED, 1, [1])


def test_the_loss_of_the_zygote_costs_an_attempt_and_no_more(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    job = make_job(tenant, params={"seconds": 2.0, "marker": str(marker)})
    worker = start_worker()
    [child] = wait_for_fit(marker)
    zygote = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    assert zygote != worker.process.pid
    os.kill(zygote, signal.SIGKILL)
    job = wait_for_end(job)
    assert (job.state, job.attempt, job.error_detail) == (State.SUCCEEDED, 2, "")
    assert worker.process.poll() is None


def test_a_job_to_be_cancelled_is_cancelled_though_its_worker_is_gone(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, actor: Actor, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    job = make_job(tenant, params={"seconds": 60.0, "marker": str(marker)})
    first = start_worker()
    wait_for_fit(marker)
    first.process.kill()
    first.wait()
    services.cancel_job(job, actor=actor)
    start_worker()
    assert wait_for_end(job).state == State.CANCELLED
    assert len(marker.read_text().split()) == 1


def test_two_workers_run_every_job_once(
    tenant: Tenant, other_tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    params = {"seconds": 0.05, "marker": str(marker)}
    jobs = [make_job(tenant, params=params) for _ in range(6)] + [
        make_job(other_tenant, params=params) for _ in range(3)
    ]
    workers = [start_worker(), start_worker()]
    for job in jobs:
        wait_for_end(job)
    assert {(job.state, job.attempt) for job in jobs} == {(State.SUCCEEDED, 1)}
    assert len({job.worker for job in jobs}) == len(workers)
    assert len(marker.read_text().split()) == len(jobs)
    assert sorted(job.version_number or 0 for job in jobs) == sorted([1, 2, 3, 4, 5, 6, 1, 2, 3])


def test_a_tenant_with_many_jobs_does_not_keep_another_waiting(
    tenant: Tenant, other_tenant: Tenant, make_job: MakeJob, start_worker: StartWorker
) -> None:
    many = [make_job(tenant, params={"seconds": 0.05}) for _ in range(4)]
    late = make_job(other_tenant, params={"seconds": 0.05})
    start_worker()
    for job in (*many, late):
        wait_for_end(job)
    started = sorted((*many, late), key=lambda job: job.started_at or job.created_at)
    assert started.index(late) == 1


def test_a_deleted_model_takes_its_running_job_along(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    job = make_job(tenant, params={"seconds": 60.0, "marker": str(marker)})
    worker = start_worker()
    [child] = wait_for_fit(marker)
    job.model.delete()
    wait_for(lambda: not is_alive(child))
    after = make_job(tenant, "straight_line", model="other")
    assert wait_for_end(after).state == State.SUCCEEDED
    assert worker.process.poll() is None


def test_a_job_survives_an_outage_of_the_database_longer_than_its_lease(
    tenant: Tenant, make_job: MakeJob, start_worker: StartWorker, tmp_path: Path
) -> None:
    marker = tmp_path / "pids"
    job = make_job(tenant, params={"seconds": 2.0, "marker": str(marker)})
    worker = start_worker()
    wait_for_fit(marker)
    worker.send(signal.SIGSTOP)  # to the worker alone: all its renewals are late, as after an outage
    wait_for(lambda: TrainingJob.unscoped.filter(pk=job.pk, lease_until__lt=Now() - timedelta(seconds=1)).exists())
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    worker.send(signal.SIGCONT)
    job = wait_for_end(job)
    assert (job.state, job.attempt, job.version_number, job.error_detail) == (State.SUCCEEDED, 1, 1, "")
    assert len(marker.read_text().split()) == 1
