"""The table of jobs as a leased queue: claiming, keeping and giving up a job, each fenced.

A claim raises the row's ``fence``; every later write of that attempt goes through :func:`held`, which finds the row
only while the fence is still the claim's. All times are the database's, so that clocks of machines may differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, F, IntegerField, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from modelpool.registry.limits import clean_text
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.training.models import TrainingJob

State = TrainingJob.State

_TENANTS_TRIED = 8
_BACK_OFF_S = 2.0
_MAX_BACK_OFF_S = 60.0


class LeaseLost(Exception):
    """Another worker may have the job by now, or its row is gone: stop, and write nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job, for as long as nobody raises the fence."""

    job_id: UUID
    fence: int
    attempt: int
    worker: str
    lease_s: float

    @property
    def actor(self) -> Actor:
        """Who the audit trail names for what the worker does."""
        return Actor(kind="system", id=str(self.job_id), label=f"worker {self.worker}")


@dataclass(frozen=True, slots=True)
class LeaseState:
    """What the row says of the claim."""

    is_held: bool
    cancel_requested: bool = False


def claim_next(worker: str, *, lease_s: float) -> tuple[Claim, TrainingJob] | None:
    """Take the next job, or return ``None``.

    Tenants take turns: first those with the fewest running jobs, among them the one whose last start is longest ago;
    within a tenant, the oldest job. A plain read comes first, so that an idle worker never takes a write lock.
    """
    for tenant_id in _tenants_in_turn():
        with transaction.atomic():
            job = _lock_oldest(tenant_id)
            if job is not None and (claim := _take(job, worker=worker, lease_s=lease_s)):
                return claim, TrainingJob.unscoped.select_related("tenant", "model", "dataset__artifact").get(pk=job.pk)
    return None


def held(claim: Claim) -> QuerySet[TrainingJob]:
    """Return the job while the claim holds, nothing otherwise: the only way to write to a running job."""
    jobs: QuerySet[TrainingJob] = TrainingJob.unscoped.filter(pk=claim.job_id, state=State.RUNNING, fence=claim.fence)
    return jobs


def renew(claim: Claim) -> bool:
    """Extend the lease; ``False`` when it is lost."""
    return held(claim).update(lease_until=Now() + timedelta(seconds=claim.lease_s)) == 1


def look(claim: Claim) -> LeaseState:
    """Return whether the claim still holds and whether the job is to be cancelled; a read by primary key."""
    asked = held(claim).values_list("cancel_requested", flat=True).first()
    return LeaseState(is_held=asked is not None, cancel_requested=bool(asked))


def finish(claim: Claim, *, state: str, **values: Any) -> None:
    """Write a final state and its audit row in the caller's or an own transaction; raise :class:`LeaseLost`.

    What is said of an error may be a trainer's own words, which hold anything.
    """
    if "error_detail" in values:
        values["error_detail"] = clean_text(values["error_detail"])
    with transaction.atomic():
        changes = {"state": state, "finished_at": Now(), "lease_until": None, **values}
        if held(claim).update(**changes) != 1:
            raise LeaseLost(str(claim.job_id))
        _record(claim.job_id, state=state, actor=claim.actor, code=values.get("error_code", ""))


def give_back(claim: Claim) -> None:
    """Put the job back in the queue as if this attempt had not been; a draining worker does so."""
    _requeue(claim, attempt=F("attempt") - 1, run_after=Now())


def retry_later(claim: Claim, *, max_attempts: int, code: str, detail: str) -> None:
    """Put the job back after a failure that is not its own, 2, 4, 8 … seconds later; fail it when none is left."""
    if claim.attempt >= max_attempts:
        finish(claim, state=State.FAILED, error_code=code, error_detail=detail)
        return
    wait_s = min(_BACK_OFF_S * 2 ** (claim.attempt - 1), _MAX_BACK_OFF_S)
    _requeue(claim, run_after=Now() + timedelta(seconds=wait_s))


def reap_expired(*, except_for: UUID | None = None) -> int:
    """See to jobs whose worker has not renewed its lease: queue them again, or end them; return how many.

    ``except_for`` is the job that the calling worker itself is busy with: after an outage of the database, or when a
    suspended machine wakes up, it renews its lease rather than taking the job from itself.
    """
    expired = TrainingJob.unscoped.filter(state=State.RUNNING, lease_until__lt=Now()).exclude(pk=except_for)
    rows = list(expired.values_list("pk", "fence", "attempt", "max_attempts", "cancel_requested")[:100])
    return sum(_reap(Claim(pk, fence, attempt, "", 0.0), limit, cancel) for pk, fence, attempt, limit, cancel in rows)


def _reap(claim: Claim, max_attempts: int, cancel_requested: bool) -> bool:
    row = held(claim).filter(lease_until__lt=Now())
    if cancel_requested:
        changes: dict[str, Any] = {"state": State.CANCELLED, "finished_at": Now()}
    elif claim.attempt >= max_attempts:
        detail = (
            f"The worker was lost {claim.attempt} times in a row, the last time during this attempt; see the job's log."
        )
        changes = {"state": State.FAILED, "finished_at": Now(), "error_code": "worker_lost", "error_detail": detail}
    else:
        changes = {"state": State.QUEUED, "run_after": Now(), **_CLEAN}
    with transaction.atomic():
        if row.update(lease_until=None, fence=F("fence") + 1, **changes) != 1:
            return False
        _record(claim.job_id, state=str(changes["state"]), actor=_REAPER, code="worker_lost")
    return True


_REAPER = Actor(kind="system", id="", label="worker")
_CLEAN: dict[str, Any] = {"progress": 0.0, "stage": "", "metrics": {}, "worker": ""}


def _tenants_in_turn() -> list[UUID]:
    waiting = TrainingJob.unscoped.filter(state=State.QUEUED, run_after__lte=Now())
    if not waiting.exists():  # what an idle worker asks four times a second
        return []
    running = TrainingJob.unscoped.filter(state=State.RUNNING, tenant=OuterRef("tenant")).order_by()
    started = TrainingJob.unscoped.filter(tenant=OuterRef("tenant"), started_at__isnull=False).order_by("-started_at")
    counted = running.values("tenant").annotate(n=Count("pk")).values("n")
    return list(
        waiting.filter(tenant__is_active=True)
        .values("tenant")
        .annotate(
            oldest=Min("created_at"),
            running=Coalesce(Subquery(counted, output_field=IntegerField()), 0),
            served=Subquery(started.values("started_at")[:1]),
        )
        .order_by("running", F("served").asc(nulls_first=True), "oldest")
        .values_list("tenant", flat=True)[:_TENANTS_TRIED]
    )


def _lock_oldest(tenant_id: UUID) -> TrainingJob | None:
    waiting = TrainingJob.objects.for_tenant(tenant_id).filter(state=State.QUEUED, run_after__lte=Now())
    if connection.features.has_select_for_update_skip_locked:
        waiting = waiting.select_for_update(skip_locked=True)
    row: TrainingJob | None = waiting.order_by("created_at").first()
    return row


def _take(job: TrainingJob, *, worker: str, lease_s: float) -> Claim | None:
    """Compare and set; where rows cannot be locked another worker may have been faster."""
    taken = TrainingJob.unscoped.filter(pk=job.pk, state=State.QUEUED, fence=job.fence).update(
        state=State.RUNNING,
        fence=F("fence") + 1,
        attempt=F("attempt") + 1,
        lease_until=Now() + timedelta(seconds=lease_s),
        started_at=Now(),
        **{**_CLEAN, "worker": worker[:100]},
    )
    return Claim(job.pk, job.fence + 1, job.attempt + 1, worker, lease_s) if taken == 1 else None


def _requeue(claim: Claim, **values: Any) -> None:
    """Queue the job again, or end it where its cancelling was asked for meanwhile; raise :class:`LeaseLost`."""
    with transaction.atomic():
        wanted = held(claim).filter(cancel_requested=False)
        if wanted.update(state=State.QUEUED, lease_until=None, **_CLEAN, **values) == 1:
            _record(claim.job_id, state=State.QUEUED, actor=claim.actor, code="")
        else:
            finish(claim, state=State.CANCELLED)


def _record(job_id: UUID, *, state: str, actor: Actor, code: str) -> None:
    tenant = TrainingJob.unscoped.select_related("tenant").get(pk=job_id).tenant
    verb = {State.SUCCEEDED: "succeed", State.FAILED: "fail", State.CANCELLED: "stop", State.QUEUED: "requeue"}
    details = {"code": code} if code else {}
    audit.record(f"job.{verb[State(state)]}", actor=actor, tenant=tenant, target=str(job_id), details=details)
