"""The front of the server: its own few routes, then the fast lane of predictions, then Django."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from modelpool.core.problems import build_problem
from modelpool.inference.asgi import ASGIApp, Message, Receive, Scope, Send
from modelpool.inference.requests import Begun, Head
from modelpool.server.connections.gate import HostCheck, request_id_of
from modelpool.server.connections.protocol import Begin
from modelpool.server.connections.replies import send_problem, send_whole
from modelpool.server.telemetry.health import Readiness, answer_health, answer_readiness
from modelpool.server.telemetry.metrics import render_metrics

logger = logging.getLogger(__name__)


class Front:
    """The ASGI application of a web process; ``lane`` answers all but ``/healthz``, ``/readyz``, ``/metrics``.

    ``begin`` is the lane's short way, see :meth:`begin`. ``prefix`` is the path of ``server.public_url`` when the
    server is not at the root of its host.
    """

    def __init__(
        self,
        lane: ASGIApp,
        *,
        readiness: Readiness,
        hosts: HostCheck,
        prefix: str = "",
        begin: Begin | None = None,
    ) -> None:
        self._lane = lane
        self._begin = begin
        self._readiness = readiness
        self._is_our_host = hosts
        self._prefix = prefix

    def begin(self, head: Head, body: bytes) -> Begun:
        """Offer the lane a whole request; ``None`` where it is to come to us by ASGI, as all do while we drain."""
        if self._begin is None or self._readiness.is_draining or not self._is_our_host(head.sent):
            return None
        if self._prefix and head.path.startswith(f"{self._prefix}/"):
            head = msgspec.structs.replace(head, path=head.path[len(self._prefix) :])
        return self._begin(head, body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._prefix:
            _strip_prefix(scope, self._prefix)
        if self._readiness.is_draining:
            send = _closing(send)
        path = scope["path"]
        if path in ("/healthz", "/readyz", "/metrics"):
            await self._answer_own(path, scope, send)
        elif self._is_our_host(scope["headers"]):
            await self._lane(scope, receive, send)
        else:
            await _refuse_host(scope, send)

    async def _answer_own(self, path: str, scope: Scope, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            problem = build_problem(405, code="method_not_allowed", detail="Only GET is known here.")
            await send_problem(send, problem, headers=[("Allow", "GET, HEAD")])
        elif path == "/healthz":
            await answer_health(send)
        elif path == "/readyz":
            await answer_readiness(send, self._readiness)
        else:
            body, kind = await asyncio.to_thread(render_metrics, scope)
            await send_whole(send, status=200, body=body, content_type=kind)


def _strip_prefix(scope: Scope, prefix: str) -> None:
    """Take the prefix off the path where a proxy left it there; either way, it is part of the addresses we give out."""
    scope["root_path"] = prefix
    if scope["path"].startswith(f"{prefix}/"):
        scope["path"] = scope["path"][len(prefix) :]
        scope["raw_path"] = scope["raw_path"][len(prefix.encode()) :]


def _closing(send: Send) -> Send:
    """Ask the client to open a new connection for its next request: this process is about to end."""

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
        await send(message)

    return send_and_close


async def _refuse_host(scope: Scope, send: Send) -> None:
    detail = "This server does not answer to that host name; add it to server.allowed_hosts."
    problem = build_problem(400, code="unknown_host", detail=detail, request_id=request_id_of(scope["headers"]))
    await send_problem(send, problem)
