"""uvicorn's HTTP/1.1 protocol, with the limits it lacks, and a short way for small requests.

A small POST is held back until its body is whole, and then offered to ``begin``. What has an answer at once gets it in
one write, with no scope, cycle or task made for it, which is half of what a small request costs otherwise. Everything
else takes uvicorn's way through ASGI, with what was read so far. Answers keep the order of their requests: the short
way is only taken while no earlier request of the connection waits for its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sized
from functools import partial
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from modelpool.core.problems import MEDIA_TYPE, Problem, build_problem
from modelpool.inference.asgi import ASGIApp, Message, Receive, Scope, Send, throw_away
from modelpool.inference.requests import Answer, Begun, Head, Headers, SentHeaders
from modelpool.server.connections.gate import MAX_HEAD_BYTES, MAX_HEADERS, request_id_of
from modelpool.server.connections.repeats import RepeatedHead
from modelpool.server.connections.replies import refuse_body

Begin = Callable[[Head, bytes], Begun]

_SWEEP_S = 1.0
_UNREAD_S = 300.0
_HELD_BYTES = 64 * 1024
_AT_ONCE = 16  # short ways in one read; a client that sends more must let others have their turn
_MAX_STRANGERS = 8  # heads unlike the one before; such a client is not expected to repeat any
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=:)", re.IGNORECASE)
_CLOSE = (b"connection", b"close")


class _Unasked:
    """Stands where nobody was asked yet what becomes of a request."""


_UNASKED = _Unasked()


class GuardedProtocol(HttpToolsProtocol):
    """One connection; :func:`sweep_connections` ends the slow and the idle ones.

    It refuses connections past ``max_connections`` and long heads. A client that has closed its sending side gets the
    answers to its whole requests. Use :func:`guarded` to say who answers at once.
    """

    _defaults: ClassVar[tuple[SentHeaders, bytes]] = ([], b"")

    def __init__(self, *args: Any, max_connections: int = 4096, begin: Begin | None = None, **named: Any) -> None:
        super().__init__(*args, **named)
        self._max_connections = max_connections
        self._begin = begin
        self.on_lost: Callable[[], None] | None = None
        self.waiting_since: float | None = None
        self.idle_since: float | None = None
        self._head_bytes = 0
        self._read_bytes = 0
        self._has_begun = self._is_cut = False
        self._at_once = 0
        self._fields: Headers = {}
        self._held: list[bytes] | None = None
        self._seen_held: list[bytes] | None = None
        self._last_words: bytes | None = None
        self._is_half_closed = self._is_lost = False
        self._leaves_with_client: asyncio.Task[Any] | None = None
        self._repeated: RepeatedHead | None = None
        self._strangers = 0
        self._chunk = b""
        self._begun: Begun | _Unasked = _UNASKED
        self._is_in_body = False
        self._bare_bytes = 0
        self._running: RequestResponseCycle | None = None
        self._unread_bytes = 0
        self._unread_since = 0.0

    # --- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or answer 503 at once."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self.waiting_since = self.loop.time()
        if len(self.connections) > self._max_connections:
            detail = "The server has as many connections as it takes."
            self._refuse(build_problem(503, code="overloaded", detail=detail, retry_after_s=1))

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that is not whole after 64 KiB is refused, and as much around a body."""
        if self._last_words is not None or (self._repeated is not None and self._answer_repeated(self._repeated, data)):
            return
        if (b"pgrade:" in data or b"PGRADE:" in data) and self._held is None and not self._is_busy():
            data = _decline_upgrade(data)
        self._read_bytes = len(data)
        self._at_once = 0
        self._chunk = data
        self._has_begun = False
        self._bare_bytes += len(data)
        super().data_received(data)
        self._chunk = b""
        if self.waiting_since is not None:
            self._is_cut = True
            self._head_bytes += 0 if self._has_begun else len(data)  # where it began, other requests came before it
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(_too_long())
        elif self._is_in_body and self._bare_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_too_long("What stands around the body of the request is too long."))

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection while whole requests wait for their answers, unless one is a stream without an end."""
        if not self._drop_unfinished() or (self.cycle.response_started and self.cycle.chunked_encoding is not False):
            return False
        self._is_half_closed = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is left to answer: a prediction that waits for its model leaves the queue."""
        super().connection_lost(exc)
        self._is_lost = True
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True  # uvicorn tells only the request that came last
            self._running.message_event.set()
        if self.on_lost is not None:
            self.on_lost()
            self.on_lost = None
        if self._leaves_with_client is not None:
            self._leaves_with_client.cancel()

    async def _unless_gone(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._leaves_with_client = asyncio.current_task()
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._is_lost:
                raise
        finally:
            self._leaves_with_client = None

    def shutdown(self) -> None:
        """Close once what is under way is answered."""
        if self._held is not None:
            self._pass_on_held()
        super().shutdown()

    def check(self, now: float, *, head_timeout_s: float, unread_timeout_s: float) -> None:
        """End a connection that is slow with a head, idle, or not read for too long; pass on a body that lets us wait.

        Who reads nothing is cut off: to close the connection would be to wait until the answer has been read.
        """
        if self._has_unread(now, timeout_s=unread_timeout_s):
            self.transport.abort()
            return
        is_slow = self.waiting_since is not None and self.waiting_since < now - head_timeout_s and not self._is_busy()
        if is_slow or (self.idle_since is not None and self.idle_since <= now - self.timeout_keep_alive):
            self.transport.close()
        elif self._held is not None and self._held is self._seen_held:
            self._pass_on_held()
        self._seen_held = self._held

    def _has_unread(self, now: float, *, timeout_s: float) -> bool:
        """Whether answers wait in memory to be sent, and none of it could be sent for so long."""
        unread = self.transport.get_write_buffer_size()
        if unread != self._unread_bytes:
            self._unread_bytes, self._unread_since = unread, now
        return unread > 0 and self._unread_since <= now - timeout_s

    # --- what the parser tells ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Start the clock of a head, unless the connection itself started it; the scope is made when it is needed."""
        if self.waiting_since is None:
            self.waiting_since = self.loop.time()
        self.idle_since = None
        self._has_begun = True
        self._repeated = None
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; those that come behind a chunked body are thrown away, for the gate has not seen them."""
        if self._is_in_body:
            return
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Stop the clock; refuse the head, hold the request back or let it go its way."""
        self.waiting_since = None
        is_long = self._is_cut or self._read_bytes > MAX_HEAD_BYTES
        self._head_bytes = 0
        self._is_cut = False
        if len(self.headers) > MAX_HEADERS or (is_long and _size_of(self.url, self.headers) > MAX_HEAD_BYTES):
            self._start_cycle(_refuse_head)
        elif self.parser.should_upgrade():
            self._start_last_cycle()
        elif self._may_hold():
            self._held = []
        else:
            self._start_cycle(self.app)
        self._is_in_body = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._bare_bytes = 0
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """Answer a request that was held back, or let it go its way after all."""
        self._is_in_body = False
        self._bare_bytes = 0
        if self._held is None or self._begin is None:
            super().on_message_complete()
            return
        body, self._held = b"".join(self._held), None
        begun = self._begun
        self._begun = _UNASKED
        if isinstance(begun, _Unasked):
            path, _, query = self.url.partition(b"?")
            head = Head("POST", path.decode("ascii"), query, self._fields, self.headers)
            begun = self._begin(head, body)
            if isinstance(begun, Answer) and begun.status == 200 and self._strangers < _MAX_STRANGERS:
                self._repeated = RepeatedHead.of(self._chunk, head=head, url=self.url, body=body)
        if isinstance(begun, Answer):
            self._write(begun)
            return
        self._start_cycle(self.app if begun is None else partial(self._unless_gone, begun))
        super().on_body(body)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(build_problem(400, code="malformed", detail=msg))

    # --- the short way ------------------------------------------------------------------------------------------------

    def _answer_repeated(self, repeated: RepeatedHead, data: bytes) -> bool:
        """Answer the same head with another body; say whether that was it. Nothing of it goes to the parser then."""
        found = repeated.read(data)
        self._strangers += found is None
        if found is None or len(found[1]) > _HELD_BYTES or not self._is_free():
            return False
        assert self._begin is not None
        begun = self._begin(*found)
        if isinstance(begun, Answer):
            self._at_once = 0
            self._write(begun)
            return True
        self._begun = begun  # for the request that the parser is about to find in these bytes
        return False

    def _is_free(self) -> bool:
        """Whether a request may be answered now: no other is before it, and the client reads its answers."""
        return not (self.flow.write_paused or self._is_busy() or self.transport.is_closing())

    def _may_hold(self) -> bool:
        """Whether this is a small whole request to be, of a plain kind, which no other one is before."""
        if self._begin is None or self._at_once >= _AT_ONCE or not self._is_free():
            return False
        parser, url = self.parser, self.url
        self._fields = fields = dict(self.headers)
        length = fields.get(b"content-length", b"")
        return (
            parser.get_method() == b"POST"
            and length.isdigit()
            and len(length) < 6
            and int(length) <= _HELD_BYTES
            and url.startswith(b"/")
            and url.isascii()
            and b"%" not in url
            and b"#" not in url
            and not self.expect_100_continue
            and b"transfer-encoding" not in fields
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
        )

    def _write(self, answer: Answer) -> None:
        self._at_once += 1
        pieces = [STATUS_LINE[answer.status], self._default_lines(), answer.fixed.lines]
        for name, value in answer.headers:
            pieces += (name, b": ", value, b"\r\n")
        pieces += (b"\r\n", answer.body)
        self.transport.write(b"".join(pieces))
        self.server_state.total_requests += 1
        self.idle_since = self.loop.time()
        if answer.status != 200 and _CLOSE in answer.headers:
            self.transport.close()

    def _default_lines(self) -> bytes:
        """Return uvicorn's own headers; it makes them anew each second."""
        headers, lines = self._defaults
        if headers is not self.server_state.default_headers:
            headers = self.server_state.default_headers
            lines = b"".join(b"%b: %b\r\n" % header for header in headers)
            type(self)._defaults = (headers, lines)
        return lines

    # --- uvicorn's way ------------------------------------------------------------------------------------------------

    def _start_cycle(self, app: ASGIApp) -> None:
        """Let uvicorn begin the request, whose head is complete, by ``app``."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        is_queued = self._is_busy()
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the scope holds this very list
        ours, self.app = self.app, partial(_close_unless_asked, app) if expects else app
        try:
            super().on_headers_complete()
        finally:
            self.app = ours
        if not is_queued:
            self._running = self.cycle

    def _start_last_cycle(self) -> None:
        """Begin a request that offers an upgrade which was not declined: what follows its head is not read as HTTP."""
        names = {name for name, value in self.headers if value != b"0"}
        has_body = not names.isdisjoint((b"content-length", b"transfer-encoding"))
        self._start_cycle(_refuse_upgrade if has_body else self.app)
        self.cycle.keep_alive = False

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing of it in the log: there is nothing to install."""

    def _pass_on_held(self) -> None:
        body, self._held = b"".join(self._held or ()), None
        self._start_cycle(self.app)
        if body:
            super().on_body(body)

    def on_response_complete(self) -> None:
        """Begin the next request, or wait for it; end the connection where none can come."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._running = cycle
            self.flow.resume_reading()
            self._start_asgi_task(cycle, app)
            return
        self.flow.resume_reading()
        if self._last_words is not None or self._is_half_closed:
            self.transport.write(self._last_words or b"")
            self.transport.close()
        else:
            self.idle_since = self.loop.time()

    def _is_busy(self) -> bool:
        """Whether a request waits for its answer; the last one is answered last."""
        return self.cycle is not None and not self.cycle.response_complete

    def _drop_unfinished(self) -> bool:
        """Forget a request that will never be whole; return whether whole ones wait for their answers."""
        self._held = None
        if not self._is_busy():
            return False
        if self.cycle.more_body:
            if not self.pipeline:
                return False
            self.pipeline.popleft()
        return True

    def _refuse(self, problem: Problem) -> None:
        """Answer and close, after the answers to what came before; a request has one answer, however it goes on."""
        is_answered = self._is_in_body and self._held is None and not self._is_busy()
        body = problem.to_json()
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **problem.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        words = f"HTTP/1.1 {problem.status} {problem.title}\r\n{head}\r\n".encode() + body
        if self._drop_unfinished():
            self._last_words = words
            self.flow.pause_reading()
            return
        if not is_answered and not (self._is_busy() and self.cycle.response_started):
            self.transport.write(words)
        self.transport.close()


class _Flow(FlowControl):
    """Reads no more while requests are queued; uvicorn reads on with each answer, and so without end."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


def guarded(*, max_connections: int, begin: Begin | None = None) -> type[asyncio.Protocol]:
    """Return the protocol with these settings, as uvicorn wants it."""
    return cast("type[asyncio.Protocol]", partial(GuardedProtocol, max_connections=max_connections, begin=begin))


async def sweep_connections(state: ServerState, *, head_timeout_s: float, unread_timeout_s: float = _UNREAD_S) -> None:
    """For ever check all connections once a second."""
    now = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(_SWEEP_S)
        for connection in list(state.connections):
            if isinstance(connection, GuardedProtocol):
                with contextlib.suppress(Exception):
                    connection.check(now(), head_timeout_s=head_timeout_s, unread_timeout_s=unread_timeout_s)


def _size_of(url: bytes, headers: SentHeaders) -> int:
    return len(url) + sum(len(name) + len(value) for name, value in headers)


def _too_long(detail: str = "The head of the request is too long.", *, request_id: str | None = None) -> Problem:
    return build_problem(431, code="headers_too_large", detail=detail, request_id=request_id)


async def _refuse_head(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand in for the application of a request whose head is too long."""
    await refuse_body(send, receive, _too_long(request_id=request_id_of(scope["headers"])))


async def _refuse_upgrade(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand in for the application of a request whose body the parser has not read."""
    detail = "Connections are not upgraded here; send the request without the header Upgrade."
    problem = build_problem(400, code="malformed", detail=detail, request_id=request_id_of(scope["headers"]))
    await refuse_body(send, receive, problem)


async def _close_unless_asked(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let ``app`` answer a client that waits to be asked for its body.

    Where it is answered without being asked, nobody can tell whether what it sends next is that body or a request.
    """
    is_asked = is_closing = False

    async def ask() -> Message:
        nonlocal is_asked
        is_asked = True
        return await receive()

    async def send_and_close(message: Message) -> None:
        nonlocal is_closing
        if message["type"] == "http.response.start" and not is_asked:
            is_closing = True
            headers = [header for header in message.get("headers", ()) if header != _CLOSE]
            message = {**message, "headers": [*headers, _CLOSE]}
        elif is_closing and not message.get("more_body", False):
            await send({**message, "more_body": True})
            await throw_away(receive)
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    await app(scope, ask, send_and_close)


def _decline_upgrade(data: bytes) -> bytes:
    """Rename the header by which Java's client, for one, offers HTTP/2: the parser would throw the body away.

    The length stays as it is, so that we and a proxy in front of us never disagree about where a request ends.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"ignored", head) + end + body
