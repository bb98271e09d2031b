"""A tenant's datasets, and how new ones come: a file, or a source of the operator's."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool import conf
from modelpool.console.datasets.kinds import ACCEPT
from modelpool.console.listing import Column, show
from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.console.quotas import NEARLY
from modelpool.console.training.train import train_url
from modelpool.console.uploading import sent_file
from modelpool.core.errors import InvalidField
from modelpool.http.filters import one_of, text
from modelpool.http.paging import Listing
from modelpool.storage.quotas import storage_quota, storage_used
from modelpool.tenants.roles import Permission
from modelpool.training.data_formats import data_format_of
from modelpool.training.models import Dataset
from modelpool.training.services import create_dataset
from modelpool.training.sources import request_dataset, sources_of

LISTING = Listing(
    orders={"created": "created_at", "size": "size_bytes", "name": "name"},
    default="-created",
    filters={
        "q": text("name__icontains"),
        "format": one_of("format", list(Dataset.Format.values)),
        "state": one_of("state", list(Dataset.State.values)),
    },
)
_COLUMNS = (
    Column(gettext_lazy("Name"), "name"),
    Column(gettext_lazy("Format")),
    Column(gettext_lazy("Rows"), is_number=True),
    Column(gettext_lazy("Size"), "size", is_number=True),
    Column(gettext_lazy("Added"), "created"),
)


@tenant_page()
def datasets(page: TenantPage) -> HttpResponse:
    """List the datasets; the rows renew themselves while some of them are not read yet."""
    rows = Dataset.objects.for_tenant(page.tenant).defer("preview", "columns")
    rows = rows.annotate(is_read=ExpressionWrapper(Q(columns__isnull=False), BooleanField()))
    shown = show(page.request, rows, listing=LISTING, columns=_COLUMNS)
    context: dict[str, Any] = {
        "shown": shown,
        "is_live": any(_waits(row.state, is_read=row.is_read) for row in shown.rows),
        "live_url": page.request.get_full_path(),
    }
    if page.is_fragment:
        return page.fragment("console/datasets/table.html", tenant=page.tenant, **context)
    return page.render(
        "console/datasets/list.html",
        title=_("Datasets"),
        status=shown.status,
        formats=list(Dataset.Format.values),
        accept=ACCEPT,
        sources=_sources(page) if page.may_develop else [],
        **_quota(page),
        **context,
    )


@tenant_action(Permission.DEVELOP)
def upload(page: TenantPage) -> HttpResponse:
    """Keep a file, and go on to training with it or to its page."""
    sent, posted = sent_file(page), page.request.POST
    dataset = create_dataset(
        page.tenant,
        chunks=sent.chunks,
        format=data_format_of(media_type=sent.media_type, filename=sent.filename),
        filename=sent.filename,
        name=posted.get("name", "").replace("\x00", "").strip(),
        actor=page.actor,
        in_transaction=sent.taken,
        replaces_bytes=sent.replaces_bytes,
    )
    return _go_on(page, dataset)


@tenant_action(Permission.DEVELOP)
def fetch(page: TenantPage) -> HttpResponse:
    """Ask a source for a table; a worker fetches it."""
    posted = page.request.POST
    name = posted.get("source", "")
    source = sources_of(page.tenant).get(name)
    if source is None:
        raise InvalidField("source", _("choose one of the sources."))
    names = source.parameters if isinstance(source, conf.SqlSourceSettings) else ()
    dataset = request_dataset(
        page.tenant,
        source=name,
        parameters={one: _plain(posted[f"parameter.{one}"]) for one in names if f"parameter.{one}" in posted},
        path=posted.get("object", "").strip(),
        name=posted.get("name", "").replace("\x00", "").strip(),
        actor=page.actor,
    )
    messages.success(page.request, _("A worker fetches %(name)s now.") % {"name": dataset})
    return _go_on(page, dataset)


def is_waiting(dataset: Dataset) -> bool:
    """Say whether a worker still has to fetch or to read it."""
    return _waits(dataset.state, is_read=dataset.columns is not None)


def _waits(state: str, *, is_read: bool) -> bool:
    return state == Dataset.State.PENDING or (state == Dataset.State.READY and not is_read)


def _go_on(page: TenantPage, dataset: Dataset) -> HttpResponse:
    posted = page.request.POST
    if posted.get("then") != "train":
        return page.redirect("dataset", dataset.pk)
    return HttpResponseRedirect(train_url(page, dataset=dataset.pk, model=posted.get("model", "")))


def _quota(page: TenantPage) -> dict[str, Any]:
    used, most = storage_used(page.tenant), storage_quota(page.tenant)
    return {"used_bytes": used, "most_bytes": most, "high_bytes": round(most * NEARLY)}


def _sources(page: TenantPage) -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (name, str(source.__struct_config__.tag), tuple(getattr(source, "parameters", ())))
        for name, source in sources_of(page.tenant).items()
    ]


def _plain(text: str) -> str | int | float:
    """Return a number where one was typed: a database does not compare numbers with texts."""
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if str(value) == text.strip():
            return value
    return text
