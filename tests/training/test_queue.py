"""The table of jobs as a queue: who gets which job, and who may write to it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from modelpool.core.errors import JobIsFinished
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent, Tenant
from modelpool.training import queue
from modelpool.training.models import TrainingJob
from modelpool.training.queue import Claim, LeaseLost, claim_next
from modelpool.training.services import cancel_job
from tests.training.conftest import MakeJob

pytestmark = pytest.mark.django_db

State = TrainingJob.State


def claim(lease_s: float = 30.0) -> tuple[Claim, TrainingJob]:
    taken = claim_next("host:1", lease_s=lease_s)
    assert taken is not None
    return taken


def expire(job: TrainingJob) -> None:
    TrainingJob.unscoped.filter(pk=job.pk).update(lease_until=Now() - timedelta(seconds=1))


def test_claiming_takes_the_job_for_as_long_as_the_lease(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    taken, row = claim(lease_s=30)
    job.refresh_from_db()
    assert (taken.job_id, taken.fence, taken.attempt) == (job.pk, 1, 1)
    assert (job.state, job.fence, job.attempt, job.worker) == (State.RUNNING, 1, 1, "host:1")
    assert job.lease_until is not None
    assert abs((job.lease_until - timezone.now()).total_seconds() - 30) < 5
    assert (row.pk, row.dataset_id) == (job.pk, job.dataset_id)
    assert claim_next("host:2", lease_s=30) is None


def test_tenants_take_turns_and_jobs_of_one_run_by_age(tenant: Tenant, other_tenant: Tenant, make_job: MakeJob) -> None:
    mine = [make_job(tenant) for _ in range(4)]
    theirs = [make_job(other_tenant) for _ in range(2)]
    order = []
    for _ in range(6):
        taken, job = claim()
        order.append(job.pk)
        queue.finish(taken, state=State.SUCCEEDED)  # one worker: nothing runs when it asks for the next
    assert order == [mine[0].pk, theirs[0].pk, mine[1].pk, theirs[1].pk, mine[2].pk, mine[3].pk]


def test_the_tenant_with_fewer_running_jobs_is_first(tenant: Tenant, other_tenant: Tenant, make_job: MakeJob) -> None:
    for _ in range(3):
        make_job(tenant)
    first, second = claim()[1], claim()[1]
    late = make_job(other_tenant)
    assert first.tenant == second.tenant == tenant
    assert claim()[1].pk == late.pk


def test_jobs_that_wait_and_jobs_of_suspended_tenants_are_left_alone(
    tenant: Tenant, other_tenant: Tenant, make_job: MakeJob
) -> None:
    waits, suspended = make_job(tenant), make_job(other_tenant)
    TrainingJob.unscoped.filter(pk=waits.pk).update(run_after=Now() + timedelta(hours=1))
    Tenant.objects.filter(pk=suspended.tenant_id).update(is_active=False)
    assert claim_next("host:1", lease_s=30) is None


def test_a_lost_job_is_queued_again_and_the_old_claim_can_write_nothing(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    old, _ = claim()
    expire(job)
    assert queue.reap_expired() == 1
    new, _ = claim()
    assert (new.fence, new.attempt) == (3, 2)  # the reaper fences as well
    assert not queue.renew(old)
    assert not queue.look(old).is_held
    for write in (queue.give_back, lambda c: queue.finish(c, state=State.SUCCEEDED, version_number=7)):
        with pytest.raises(LeaseLost):
            write(old)
    job.refresh_from_db()
    assert (job.state, job.fence, job.version_number) == (State.RUNNING, 3, None)


def test_a_lost_job_fails_when_its_attempts_are_spent(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    for _ in range(job.max_attempts):
        claim()
        expire(job)
        assert queue.reap_expired() == 1
    job.refresh_from_db()
    assert (job.state, job.error_code, job.attempt) == (State.FAILED, "worker_lost", job.max_attempts)
    assert str(job.max_attempts) in job.error_detail
    assert job.finished_at is not None


def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(tenant: Tenant, make_job: MakeJob, actor: Actor) -> None:
    job = make_job(tenant)
    claim()
    cancel_job(job, actor=actor)
    expire(job)
    assert queue.reap_expired() == 1
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_a_renewed_lease_is_not_reaped(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    taken, _ = claim()
    expire(job)
    assert queue.renew(taken)
    assert queue.reap_expired() == 0


def test_a_worker_does_not_take_its_own_job_from_itself(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    claim()
    expire(job)
    assert queue.reap_expired(except_for=job.pk) == 0
    assert queue.reap_expired() == 1


def test_giving_back_spends_no_attempt(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    queue.give_back(claim()[0])
    job.refresh_from_db()
    assert (job.state, job.attempt, job.progress) == (State.QUEUED, 0, 0.0)
    assert claim()[0].attempt == 1


def test_giving_back_a_job_that_was_to_be_cancelled_cancels_it(tenant: Tenant, make_job: MakeJob, actor: Actor) -> None:
    job = make_job(tenant)
    taken, _ = claim()
    cancel_job(job, actor=actor)
    queue.give_back(taken)
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_retries_wait_longer_each_time_and_end(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    waits = []
    for _ in range(job.max_attempts - 1):
        queue.retry_later(claim()[0], max_attempts=job.max_attempts, code="store_unavailable", detail="gone")
        job.refresh_from_db()
        waits.append((job.run_after - timezone.now()).total_seconds())
        assert claim_next("host:1", lease_s=30) is None
        TrainingJob.unscoped.filter(pk=job.pk).update(run_after=Now())
    queue.retry_later(claim()[0], max_attempts=job.max_attempts, code="store_unavailable", detail="gone")
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "store_unavailable")
    assert waits == pytest.approx([2.0, 4.0], abs=1.0)


def test_what_an_error_says_can_be_stored_whatever_it_says(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    queue.finish(
        claim()[0], state=State.FAILED, error_code="trainer_failed", error_detail="half \ud800, zero \0, \u202e"
    )
    job.refresh_from_db()
    assert (job.state, job.error_detail) == (State.FAILED, "half ?, zero \ufffd, \u202e")


def test_every_end_is_audited(tenant: Tenant, make_job: MakeJob) -> None:
    job = make_job(tenant)
    queue.give_back(claim()[0])
    queue.finish(claim()[0], state=State.FAILED, error_code="trainer_failed")
    events = AuditEvent.objects.filter(target=str(job.pk)).order_by("id")
    assert [event.action for event in events] == ["job.submit", "job.requeue", "job.fail"]
    assert (events[2].details, events[2].actor_label) == ({"code": "trainer_failed"}, "worker host:1")


def test_a_finished_job_cannot_be_cancelled(tenant: Tenant, make_job: MakeJob, actor: Actor) -> None:
    job = make_job(tenant)
    cancelled = cancel_job(job, actor=actor)
    assert (cancelled.state, cancelled.cancel_requested) == (State.CANCELLED, True)
    assert cancelled.finished_at is not None
    with pytest.raises(JobIsFinished, match="cancelled already"):
        cancel_job(job, actor=actor)


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_never_get_the_same_job(
    tenant: Tenant, other_tenant: Tenant, make_job: MakeJob
) -> None:
    dataset = make_job(tenant).dataset
    for _ in range(14):
        make_job(tenant, dataset=dataset)
    for _ in range(5):
        make_job(other_tenant)
    taken: list[TrainingJob] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        while claimed := claim_next("host:1", lease_s=30):
            taken.append(claimed[1])
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while claimed := claim_next("host:1", lease_s=30):  # those that all threads passed over in the rush
        taken.append(claimed[1])
    assert len(taken) == 20
    assert len({job.pk for job in taken}) == 20
    assert set(TrainingJob.unscoped.values_list("state", "attempt", "fence")) == {(State.RUNNING, 1, 1)}
