"""uvicorn's HTTP/1.1 protocol with the limits it lacks: on connections, and on the size and time of a head."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelpool.core.problems import MEDIA_TYPE, Problem, build_problem
from modelpool.server.gate import MAX_HEAD_BYTES

if TYPE_CHECKING:
    from uvicorn.server import ServerState

_SWEEP_S = 1.0
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=:)", re.IGNORECASE)


class GuardedProtocol(HttpToolsProtocol):
    """Refuses connections past ``max_connections`` and long heads; :func:`close_slow_heads` ends the slow ones."""

    max_connections = 4096

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.waiting_since: float | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or answer 503 at once."""
        super().connection_made(transport)
        self.waiting_since = self.loop.time()
        if len(self.connections) > self.max_connections:
            detail = "The server has as many connections as it takes."
            self._refuse(build_problem(503, code="overloaded", detail=detail, retry_after_s=1))

    def on_message_begin(self) -> None:
        """Start the clock of a head, unless the connection itself started it."""
        if self.waiting_since is None:
            self.waiting_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self.waiting_since = None
        self._head_bytes = 0
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that is still not whole after 64 KiB is refused."""
        if (b"pgrade:" in data or b"PGRADE:" in data) and (self.cycle is None or self.cycle.response_complete):
            data = _decline_upgrade(data)
        super().data_received(data)
        if self.waiting_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(
                    build_problem(431, code="headers_too_large", detail="The head of the request is too long.")
                )

    def _refuse(self, problem: Problem) -> None:
        body = problem.to_json()
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **problem.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {problem.status} {problem.title}\r\n{head}\r\n".encode() + body)
        self.transport.close()


def _decline_upgrade(data: bytes) -> bytes:
    """Rename the header by which Java's client, for one, offers HTTP/2: the parser would throw the body away.

    The length stays as it is, so that we and a proxy in front of us never disagree about where a request ends.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"ignored", head) + end + body


async def close_slow_heads(state: ServerState, *, timeout_s: float) -> None:
    """For ever close the connections whose head is not whole ``timeout_s`` after it, or they, began."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_S)
        oldest = loop.time() - timeout_s
        for connection in list(state.connections):
            since = getattr(connection, "waiting_since", None)
            if since is not None and since < oldest:
                with contextlib.suppress(Exception):
                    connection.transport.close()
