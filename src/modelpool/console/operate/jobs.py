"""All jobs of the installation, newest first, and ending them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.listing import Column, show
from modelpool.console.pages import Page, operator_action, operator_page
from modelpool.http.filters import one_of, text
from modelpool.http.paging import Listing
from modelpool.training.models import TrainingJob
from modelpool.training.querysets import trainers
from modelpool.training.services import cancel_job

STATES = {"queued": "info", "running": "primary", "succeeded": "success", "failed": "danger", "cancelled": "warning"}
"""Each state with its colour."""

LISTING = Listing(
    orders={"created": "created_at"},
    default="-created",
    filters={
        "state": one_of("state", list(STATES)),
        "tenant": text("tenant__name"),
        "model": text("model__name"),
        "trainer": text("trainer"),
        "worker": text("worker"),
    },
)
_COLUMNS = (
    Column(gettext_lazy("Job")),
    Column(gettext_lazy("Tenant")),
    Column(gettext_lazy("Model")),
    Column(gettext_lazy("State")),
    Column(gettext_lazy("Progress")),
    Column(gettext_lazy("Worker")),
    Column(gettext_lazy("Created"), "created"),
    Column(gettext_lazy("Finished")),
)


@operator_page
def jobs(page: Page) -> HttpResponse:
    """List the jobs; the rows renew themselves while some of them run."""
    shown = show(page.request, _rows(), listing=LISTING, columns=_COLUMNS)
    context: dict[str, Any] = {
        "shown": shown,
        "jobs": [(job, STATES.get(job.state, "info")) for job in shown.rows],
        "is_live": any(not job.is_final for job in shown.rows),
        "live_url": page.request.get_full_path(),
    }
    if page.is_fragment:
        return page.fragment("console/operate/jobs_table.html", **context)
    names = [trainer.name for trainer in trainers()]
    return page.render(
        "console/operate/jobs.html",
        title=_("All jobs"),
        status=shown.status,
        states=list(STATES),
        trainers=names,
        **context,
    )


def _rows() -> QuerySet[TrainingJob]:
    """All jobs, without what a list does not show."""
    rows: QuerySet[TrainingJob] = TrainingJob.unscoped.select_related("tenant", "model")
    return rows.defer("params", "metrics", "tags", "model__traffic", "model__description")


@operator_action
def cancel(page: Page, job: UUID) -> HttpResponse:
    """Cancel a job that waits or runs."""
    found = TrainingJob.unscoped.select_related("model").filter(pk=job).first()
    if found is None:
        raise Http404
    cancel_job(found, actor=page.actor)
    messages.success(page.request, _("The job of %(model)s is being cancelled.") % {"model": found.model.name})
    return page.back_to(reverse("console:operate-jobs"))
