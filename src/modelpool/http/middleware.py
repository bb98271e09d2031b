"""Middleware of Django's side of the server."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIdMiddleware:
    """Gives every request an id, the client's own where it is a harmless one, and sends it back."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set ``request.request_id`` and the header ``X-Request-Id``."""
        sent = request.headers.get("X-Request-Id", "")
        request.request_id = sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


class UnkeptPagesMiddleware:
    """Has no browser and no proxy keep what the console answers, errors too: who may see what can change any moment."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set ``Cache-Control`` where the answer says nothing of it."""
        response = self.get_response(request)
        if request.path.startswith("/console"):
            response.headers.setdefault("Cache-Control", "no-store, private")
        return response
