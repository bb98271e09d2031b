"""The audit trail as pages and as files: a tenant's for its administrators, all of it for operators."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.listing import Column, show
from modelpool.console.pages import Page
from modelpool.core.errors import Invalid
from modelpool.http.filters import Filter, moment, one_of, text
from modelpool.http.paging import Listing
from modelpool.tenants.audit import OUTCOMES
from modelpool.tenants.models import AuditEvent

ACTIONS = (
    "access", "alias.delete", "alias.set", "dataset.change", "dataset.create", "dataset.delete", "dataset.fetch",
    "job.cancel", "job.fail", "job.requeue", "job.stop", "job.submit", "job.succeed", "key.create", "key.revoke",
    "member.remove", "member.set", "model.create", "model.delete", "model.update", "signing.adopt",
    "signing.distrust", "signing.resign", "signing.rotate", "tenant.create", "tenant.delete", "tenant.update",
    "traffic.end", "traffic.set", "upload.create", "upload.delete", "user.add_second_factor", "user.connect_provider",
    "user.create", "user.disconnect_provider", "user.end_sessions", "user.invite", "user.lock_out", "user.password",
    "user.remove_second_factor", "user.renew_recovery_codes", "user.sign_in", "user.sign_out", "user.update",
    "version.activate", "version.copy", "version.delete", "version.quarantine", "version.refuse", "version.register",
    "version.release", "version.update",
)  # fmt: skip
"""What is offered to choose from; any other action that the trail has may be typed."""

_FILTERS: dict[str, Filter] = {
    "actor": text("actor_label"),
    "action": text("action"),
    "target": Filter("target__startswith"),
    "outcome": one_of("outcome", list(OUTCOMES)),
    "since": moment("at__gte"),
    "until": moment("at__lt"),
}
OF_TENANT = Listing(orders={"id": "id"}, default="-id", filters=_FILTERS, distinct=("id",))
OF_ALL = Listing(
    orders={"id": "id"}, default="-id", filters={**_FILTERS, "tenant": text("tenant_name")}, distinct=("id",)
)
_AT_ONCE = 500
_FIELDS = (
    "id", "at", "tenant_name", "actor_kind", "actor_id", "actor_label", "action", "target", "outcome", "details",
    "request_id",
)  # fmt: skip
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True)
class Trail:
    """Rows of the trail, and where their pages stand."""

    page: Page
    rows: QuerySet[AuditEvent]
    listing: Listing
    url: str
    name: str
    """What a file of them is called."""


def show_trail(trail: Trail) -> HttpResponse:
    """Show a page of the trail, the newest first."""
    of_all = "tenant" in trail.listing.filters
    columns = [Column(_("When"), "id"), *([Column(_("Tenant"))] if of_all else []), *_COLUMNS]
    shown = show(trail.page.request, trail.rows, listing=trail.listing, columns=columns)
    return trail.page.render(
        "console/administration/audit.html",
        title=_("Audit"),
        status=shown.status,
        shown=shown,
        events=[(event, json.dumps(event.details, indent=1, ensure_ascii=False)) for event in shown.rows],
        of_all=of_all,
        actions=ACTIONS,
        outcomes=OUTCOMES,
        url=trail.url,
    )


_COLUMNS = (
    Column(gettext_lazy("Who")),
    Column(gettext_lazy("Action")),
    Column(gettext_lazy("What")),
    Column(gettext_lazy("Outcome")),
)


def export_trail(trail: Trail, format: str) -> HttpResponseBase:
    """Send the rows that the query asks for, the newest first, as a file; a few are held at a time."""
    if format not in _FORMATS:
        raise Http404
    asked = {name: value for name, value in trail.page.request.GET.items() if value}
    try:
        rows = _filtered(trail, asked)
    except Invalid as error:
        return HttpResponseBadRequest(str(error), content_type="text/plain")
    write, media_type = _FORMATS[format]
    first = list(rows[:_AT_ONCE])  # before the head is sent: what goes wrong is an error, not the end of a file
    response = StreamingHttpResponse(write(_walk(rows, first)), content_type=media_type)
    filename = f"{trail.name}-{timezone.now():%Y-%m-%d}.{format}"
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["Cache-Control"] = "no-store"
    return response


def _filtered(trail: Trail, asked: dict[str, Any]) -> QuerySet[AuditEvent]:
    rows = trail.rows
    for name, value in asked.items():
        if name in trail.listing.filters:
            rows = trail.listing.filters[name].apply(rows, name=name, value=str(value).replace("\0", ""))
        elif name not in ("ordering", "cursor"):
            raise Invalid(f"{name[:80]}: is not a filter of the audit trail.")
    return rows.order_by("-id")


def _walk(rows: QuerySet[AuditEvent], some: list[AuditEvent]) -> Iterator[AuditEvent]:
    """Yield all rows, some at a time, each some by one short query: nothing is open while a client reads slowly."""
    while some:
        yield from some
        some = list(rows.filter(id__lt=some[-1].pk)[:_AT_ONCE])


def _as_json_lines(events: Iterator[AuditEvent]) -> Iterator[bytes]:
    for event in events:
        document = {name: getattr(event, name) for name in _FIELDS} | {"at": event.at.isoformat()}
        yield json.dumps(document, ensure_ascii=False).encode() + b"\n"


def _as_csv(events: Iterator[AuditEvent]) -> Iterator[bytes]:
    yield _csv_line(_FIELDS)
    for event in events:
        details = json.dumps(event.details, ensure_ascii=False)
        values = {name: str(getattr(event, name)) for name in _FIELDS}
        values |= {"at": event.at.isoformat(), "details": details}
        yield _csv_line([safe_cell(values[name]) for name in _FIELDS])


def _csv_line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


def safe_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: one that begins like one gets an apostrophe in front."""
    return f"'{text}" if text.startswith(_FORMULAS) else text


Writer = Callable[[Iterator[AuditEvent]], Iterator[bytes]]
_FORMATS: dict[str, tuple[Writer, str]] = {
    "csv": (_as_csv, "text/csv; charset=utf-8"),
    "jsonl": (_as_json_lines, "application/jsonl; charset=utf-8"),
}
