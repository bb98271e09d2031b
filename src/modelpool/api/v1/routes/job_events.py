"""``/tenants/{tenant}/jobs/{id}/events``: a job as it happens, as server-sent events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import UUID

from django.db import close_old_connections, connection
from django.http.response import HttpResponseBase
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.jobs import JobDocument, present_job, present_lines
from modelpool.api.v1.routes.jobs import number_from
from modelpool.core.errors import NotFound
from modelpool.http.event_stream import KEEP_ALIVE, event, stream_events
from modelpool.http.openapi import describe
from modelpool.http.views import ApiView
from modelpool.tenants.models import Tenant
from modelpool.tenants.roles import Permission
from modelpool.training.services import get_job, job_log

MAX_DURATION_S = 600.0
_POLL_S = 0.5
_QUIET_S = 15.0
_LINES = 500


class JobEventsView(ApiView):
    """Events ``job`` (the job, when it changed), ``log`` (a line), and ``end`` when nothing more will come."""

    permissions = {"GET": Permission.VIEW}

    @describe("Follow a job", tag="jobs", answers={(200, "text/event-stream"): {"type": "string"}})
    def get(self, request: Request, tenant: str, job: UUID) -> HttpResponseBase:
        """Stream for at most ten minutes; a browser reconnects by itself and goes on after ``Last-Event-ID``."""
        row = get_job(self.tenant, job)
        after = number_from(request.headers.get("Last-Event-ID") or "0", name="Last-Event-ID", ceiling=2**63 - 1)
        if request.method == "HEAD":
            return Response(None, content_type="text/event-stream")
        events = follow(self.tenant, row.pk, after=after, is_let_in=lambda: self.caller.is_still_let_in(self.tenant))
        return stream_events(events, tenant_id=self.tenant.pk)


def follow(
    tenant: Tenant,
    job_id: UUID,
    *,
    after: int,
    duration_s: float = MAX_DURATION_S,
    is_let_in: Callable[[], bool] = lambda: True,
) -> Iterator[bytes]:
    """Yield events until the job is over and told to its end, it is deleted, or the time is up.

    ``is_let_in`` is asked before each look: a revoked key sees no more than it has seen.
    """
    shown: JobDocument | None = None
    ends_at, quiet_since = time.monotonic() + duration_s, time.monotonic()
    yield b"retry: 2000\n\n"
    while time.monotonic() < ends_at:
        try:
            if not is_let_in():
                return
            row = get_job(tenant, job_id)
            lines = job_log(row, after=after, limit=_LINES)
        except NotFound:
            break
        finally:
            _give_back_connection()
        for line in present_lines(lines):
            after = line.id
            yield event("log", line, event_id=after)
        document = present_job(row, tenant=tenant.name)
        if document != shown:
            shown, quiet_since = document, time.monotonic()
            yield event("job", document)
        elif not lines and row.is_final:
            break
        elif not lines:
            time.sleep(_POLL_S)
        if time.monotonic() - quiet_since > _QUIET_S:
            quiet_since = time.monotonic()
            yield KEEP_ALIVE
    else:
        return
    yield event("end", {})


def _give_back_connection() -> None:
    """The thread is kept for minutes, the connection need not be."""
    if not connection.in_atomic_block:
        close_old_connections()


urlpatterns = [
    path("tenants/<str:tenant>/jobs/<id:job>/events", JobEventsView.as_view(), name="job-events"),
]
