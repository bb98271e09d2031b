"""Server-sent events: bounded in time and in number, because each keeps a thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from threading import Lock
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse

from modelpool.core.errors import QuotaExceeded
from modelpool.http.rendering import encode

MAX_STREAMS_PER_TENANT = 8
"""In one process."""

_open: Counter[UUID] = Counter()
_lock = Lock()


def event(name: str, data: Any, *, event_id: int | None = None) -> bytes:
    """Return one event (HTML Living Standard, 9.2.6); JSON holds no line breaks, so one ``data`` line is enough."""
    at = b"" if event_id is None else b"id: %d\n" % event_id
    return at + b"event: " + name.encode() + b"\ndata: " + encode(data) + b"\n\n"


KEEP_ALIVE = b": still here\n\n"


class EventStream:
    """The body of a stream; Django closes it with the response, also when the client leaves."""

    def __init__(self, events: Iterator[bytes], *, tenant_id: UUID) -> None:
        self._events = events
        self._tenant_id = tenant_id
        self._is_open = True
        _enter(tenant_id)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._events)

    def close(self) -> None:
        """Give the place back."""
        if self._is_open:
            self._is_open = False
            _leave(self._tenant_id)


def stream_events(events: Iterator[bytes], *, tenant_id: UUID) -> StreamingHttpResponse:
    """Return the response; raise :class:`QuotaExceeded` when the tenant has too many open."""
    body = EventStream(events, tenant_id=tenant_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(body, content_type="text/event-stream", headers=headers)


def _enter(tenant_id: UUID) -> None:
    with _lock:
        if _open[tenant_id] >= MAX_STREAMS_PER_TENANT:
            detail = f"The tenant has {MAX_STREAMS_PER_TENANT} event streams open; close one, or ask for the job."
            raise QuotaExceeded(detail, retry_after_s=5)
        _open[tenant_id] += 1


def _leave(tenant_id: UUID) -> None:
    with _lock:
        _open[tenant_id] -= 1
        if _open[tenant_id] <= 0:
            del _open[tenant_id]
