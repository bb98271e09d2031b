"""The page of one dataset: what is in it, what was made of it, how long it stays."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from modelpool.console.datasets.columns import described
from modelpool.console.datasets.listing import is_waiting
from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.console.training.states import STATE_LABELS, STATE_TEXTS, has_worker
from modelpool.console.training.train import train_url
from modelpool.core.errors import DatasetNotFound, InvalidField, NotFound
from modelpool.http.downloads import send_artifact
from modelpool.registry.models import ModelVersion
from modelpool.tenants.roles import Permission
from modelpool.training import services
from modelpool.training.models import Dataset, TrainingJob
from modelpool.training.querysets import dataset_file, unfinished_jobs_of

_SHOWN = 20
_PREVIEW_ROWS = 20


@tenant_page()
def dataset(page: TenantPage, dataset: UUID) -> HttpResponse:
    """Show the dataset; while a worker still has to read it the page renews itself."""
    row = _dataset_of(page, dataset)
    waiting = is_waiting(row)
    return page.render(
        "console/datasets/dataset.html",
        title=str(row),
        crumbs=[(_("Datasets"), page.url("datasets"))],
        dataset=row,
        is_waiting=waiting,
        has_worker=has_worker() if waiting else True,
        described=described(row),
        preview=_preview(page, row),
        train_url=train_url(page, dataset=row.pk),
        is_needed=unfinished_jobs_of(row).exists(),
        **_lineage(page, row),
    )


@tenant_page(Permission.DEVELOP)
def download(page: TenantPage, dataset: UUID) -> HttpResponseBase:
    """Send the file as it came, or the Parquet file that training reads."""
    try:
        file, name = dataset_file(_dataset_of(page, dataset), page.request.GET.get("artifact", "original"))
    except (NotFound, InvalidField) as error:
        raise Http404 from error
    return send_artifact(page.request, file, filename=name)


@tenant_action(Permission.DEVELOP)
def change(page: TenantPage, dataset: UUID) -> HttpResponse:
    """Rename it, or have it deleted at the end of a day (UTC); without a date it is kept for good."""
    row, posted = _dataset_of(page, dataset), page.request.POST
    moment = _end_of(posted.get("until", ""))
    is_kept = "until" in posted and moment is None
    name = posted.get("name", "").replace("\x00", "").strip() or None
    changed = services.change_dataset(row, actor=page.actor, name=name, expires_at=moment, is_kept=is_kept)
    messages.success(page.request, _("%(name)s is changed.") % {"name": changed})
    return page.redirect("dataset", row.pk)


@tenant_action(Permission.DEVELOP)
def delete(page: TenantPage, dataset: UUID) -> HttpResponse:
    """Delete the dataset; versions made of it stay."""
    row = _dataset_of(page, dataset)
    services.delete_dataset(row, actor=page.actor)
    messages.success(page.request, _("%(name)s is deleted.") % {"name": row})
    return page.redirect("datasets")


def _dataset_of(page: TenantPage, dataset_id: UUID) -> Dataset:
    try:
        return services.get_dataset(page.tenant, dataset_id)
    except DatasetNotFound as error:
        raise Http404 from error


def _preview(page: TenantPage, row: Dataset) -> dict[str, Any] | None:
    """Rows are shown to whom may download them."""
    preview = row.preview if page.may_develop else None
    return {"columns": preview["columns"], "rows": preview["rows"][:_PREVIEW_ROWS]} if preview else None


def _lineage(page: TenantPage, row: Dataset) -> dict[str, Any]:
    jobs = TrainingJob.objects.for_tenant(page.tenant).filter(dataset=row).select_related("model")
    latest = list(jobs.order_by("-created_at")[: _SHOWN + 1])
    versions = ModelVersion.objects.for_tenant(page.tenant).filter(dataset_id=row.pk)
    ready = versions.exclude(state=ModelVersion.State.DELETED).select_related("model")
    return {
        "jobs": [(one, STATE_LABELS.get(one.state, "info"), STATE_TEXTS.get(one.state)) for one in latest[:_SHOWN]],
        "has_more_jobs": len(latest) > _SHOWN,
        "versions": list(ready.order_by("-created_at")[:_SHOWN]),
    }


def _end_of(day: str) -> datetime | None:
    if not day:
        return None
    try:
        return datetime.combine(date.fromisoformat(day), time(23, 59, 59), UTC)
    except ValueError as error:
        raise InvalidField("until", _("must be a day such as 2030-01-31, or empty.")) from error
