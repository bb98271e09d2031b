"""The page of one job: how it goes while it runs, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.console.training.advice import advice_for
from modelpool.console.training.result import result_of
from modelpool.console.training.series import charts_of
from modelpool.console.training.states import STATE_LABELS, STATE_TEXTS, has_worker
from modelpool.core.errors import JobNotFound
from modelpool.tenants.roles import Permission
from modelpool.training.models import JobLogLine, TrainingJob
from modelpool.training.services import cancel_job, get_job

_LOG_LINES = 1000


@tenant_page()
def job(page: TenantPage, job: UUID) -> HttpResponse:
    """Show the job; while it is not over the page renews itself."""
    row = job_of(page, job)
    return page.render(
        "console/training/job.html",
        title=_("Training of %(model)s") % {"model": row.model.name},
        crumbs=[(_("Jobs"), page.url("jobs"))],
        **_progress(row),
        charts=charts_of(row),
        result=result_of(row) if row.is_final else None,
        dataset=row.dataset,
        settings=sorted(row.params.items()),
    )


@tenant_page()
def live(page: TenantPage, job: UUID) -> HttpResponse:
    """Return the part that changes each second; once the job is over, have the whole page shown."""
    row = job_of(page, job)
    response = page.fragment("console/training/job_live.html", tenant=page.tenant, **_progress(row))
    if row.is_final:
        response["HX-Refresh"] = "true"
    return response


@tenant_page()
def curves(page: TenantPage, job: UUID) -> HttpResponse:
    """Return the charts of a job that runs."""
    row = job_of(page, job)
    return page.fragment("console/training/job_charts.html", tenant=page.tenant, job=row, charts=charts_of(row))


@tenant_action(Permission.DEVELOP)
def cancel(page: TenantPage, job: UUID) -> HttpResponse:
    """Cancel a job that waits or runs."""
    row = job_of(page, job)
    cancel_job(row, actor=page.actor)
    messages.success(page.request, _("The job of %(model)s is being cancelled.") % {"model": row.model.name})
    return page.redirect("job", row.pk)


def job_of(page: TenantPage, job_id: UUID) -> TrainingJob:
    """Return the tenant's job, or 404."""
    try:
        return get_job(page.tenant, job_id)
    except JobNotFound as error:
        raise Http404 from error


def _progress(row: TrainingJob) -> dict[str, Any]:
    lines = JobLogLine.objects.filter(job=row, kind="log").order_by("-id")[:_LOG_LINES]
    is_queued = row.state == TrainingJob.State.QUEUED
    return {
        "job": row,
        "state_label": STATE_LABELS.get(row.state, "info"),
        "state_text": STATE_TEXTS.get(row.state, row.state),
        "percent": round(row.progress * 100),
        "elapsed_s": _seconds(row.started_at or row.created_at, row.finished_at),
        "ahead": _ahead(row) if is_queued else 0,
        "has_worker": has_worker() if is_queued else True,
        "log": list(reversed(lines)),
        "metrics": sorted(row.metrics.items()),
        "advice": advice_for(row.error_code) if row.error_code else "",
    }


def _seconds(start: datetime, end: datetime | None) -> float:
    seconds = max(0.0, ((end or timezone.now()) - start).total_seconds())
    return seconds if end else round(seconds)


def _ahead(row: TrainingJob) -> int:
    """How many jobs of the tenant wait before this one; tenants take turns, so others' do not count."""
    waiting = TrainingJob.objects.for_tenant(row.tenant_id).filter(state=TrainingJob.State.QUEUED)
    count: int = waiting.filter(created_at__lt=row.created_at).count()
    return count
