"""A tenant's jobs, newest first."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.listing import Column, show
from modelpool.console.pages import TenantPage, tenant_page
from modelpool.console.training.states import STATE_LABELS, STATE_TEXTS
from modelpool.console.training.train import trainer_names
from modelpool.http.filters import identifier, one_of, text
from modelpool.http.paging import Listing
from modelpool.training.models import TrainingJob

LISTING = Listing(
    orders={"created": "created_at"},
    default="-created",
    filters={
        "state": one_of("state", list(STATE_LABELS)),
        "model": text("model__name__icontains"),
        "trainer": text("trainer"),
        "dataset": identifier("dataset_id"),
    },
)
_COLUMNS = (
    Column(gettext_lazy("Job")),
    Column(gettext_lazy("Model")),
    Column(gettext_lazy("Target")),
    Column(gettext_lazy("State")),
    Column(gettext_lazy("Progress")),
    Column(gettext_lazy("Created"), "created"),
    Column(gettext_lazy("Finished")),
)


@tenant_page()
def jobs(page: TenantPage) -> HttpResponse:
    """List the jobs; the rows renew themselves while some of them are not over."""
    shown = show(page.request, _rows(page), listing=LISTING, columns=_COLUMNS)
    context: dict[str, Any] = {
        "shown": shown,
        "jobs": [(row, STATE_LABELS.get(row.state, "info"), STATE_TEXTS.get(row.state)) for row in shown.rows],
        "is_live": any(not row.is_final for row in shown.rows),
        "live_url": page.request.get_full_path(),
    }
    if page.is_fragment:
        return page.fragment("console/training/jobs_table.html", tenant=page.tenant, **context)
    return page.render(
        "console/training/jobs.html",
        title=_("Jobs"),
        status=shown.status,
        states=list(STATE_TEXTS.items()),
        trainers=trainer_names(),
        **context,
    )


def _rows(page: TenantPage) -> QuerySet[TrainingJob]:
    rows: QuerySet[TrainingJob] = TrainingJob.objects.for_tenant(page.tenant).select_related("model")
    return rows.defer("params", "metrics", "tags", "model__traffic", "model__description")
