"""One request in Django and its answer on the wire: a thread runs the WSGI application, the event loop sends."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from modelpool.core.errors import ModelpoolError, Overloaded
from modelpool.core.problems import problem_of
from modelpool.inference.asgi import Receive, Send
from modelpool.inference.requests import ClientGone
from modelpool.server.bridge.environ import WSGIApplication
from modelpool.server.connections.replies import send_problem

logger = logging.getLogger(__name__)

_WHOLE_BYTES = 256 * 1024
_NO_BODY = frozenset({204, 304})
_OWN_STATUSES = frozenset({460})  # the tus protocol's, for bytes that are not those of their checksum
_OVERLOADED = "Too many answers are being streamed."


class Exchange:
    """Runs ``application`` once in one of ``threads`` and sends what it answers, with back-pressure.

    An answer that is short or not streaming is collected in the thread and sent whole; any other is sent piece by
    piece while the thread waits. When the client goes away the iterator is closed in its own thread, where its
    database connection is.
    """

    def __init__(
        self,
        application: WSGIApplication,
        environ: dict[str, Any],
        *,
        receive: Receive,
        send: Send,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._application = application
        self._environ = environ
        self._receive = receive
        self._send = send
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._status = 500
        self._headers: list[tuple[str, str]] = []
        self._sent_head = False
        self._is_over = False
        self._place: asyncio.Semaphore | None = None
        self._streams: asyncio.Semaphore | None = None
        self._has_stream = False

    async def run(self, *, place: asyncio.Semaphore, streams: asyncio.Semaphore, draining: asyncio.Event) -> int:
        """Answer and return the status; ``place``, held by the caller, is released here."""
        self._place, self._streams, self._draining = place, streams, draining
        context = contextvars.copy_context()
        thread = self._loop.run_in_executor(self._threads, context.run, self._run_application)
        watch = asyncio.ensure_future(self._wait_for_end(draining))
        try:
            whole = await asyncio.shield(thread)
            if not self._is_over and whole is not None:
                await self._send_whole(whole)
        except ClientGone:
            pass
        except Exception:
            logger.exception("the application failed outside Django's own handling")
            await self._fail()
        finally:
            self._is_over = True
            watch.cancel()
            self._give_back()
        return self._status

    # --- in the event loop --------------------------------------------------------------------------------------------

    async def _wait_for_end(self, draining: asyncio.Event) -> None:
        """Mark the exchange as over when the client leaves; while draining, end streams of events."""
        drain = asyncio.ensure_future(draining.wait())
        gone = asyncio.ensure_future(self._disconnect())
        try:
            await asyncio.wait({drain, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not gone.done() and self._sent_head and self._is_event_stream():
                self._is_over = True
                await self._send({"type": "http.response.body", "body": b""})
            elif not gone.done():
                await gone
            self._is_over = True
        finally:
            drain.cancel()
            gone.cancel()

    async def _disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _send_whole(self, body: bytes) -> None:
        has_body = self._status not in _NO_BODY and self._environ["REQUEST_METHOD"] != "HEAD"
        if has_body and self._declared_length() < 0:
            self._headers.append(("Content-Length", str(len(body))))
        await self._send_head()
        await self._send({"type": "http.response.body", "body": body})

    async def _begin_stream(self) -> None:
        assert self._streams is not None
        if self._streams.locked():
            raise Overloaded(_OVERLOADED, retry_after_s=5)
        await self._streams.acquire()
        self._has_stream = True
        self._give_place_back()
        await self._send_head()
        if self._draining.is_set() and self._is_event_stream():
            await self._end_stream()
            raise ClientGone

    async def _send_head(self) -> None:
        self._sent_head = True
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._headers]
        await self._send({"type": "http.response.start", "status": self._status, "headers": headers})

    async def _send_piece(self, piece: bytes) -> None:
        if not self._is_over:
            try:
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            except RuntimeError:  # the stream was ended while this piece waited for a slow client
                if not self._is_over:
                    raise
        if self._is_over:
            raise ClientGone

    async def _end_stream(self) -> None:
        if not self._is_over:
            self._is_over = True
            await self._send({"type": "http.response.body", "body": b""})

    async def _fail(self) -> None:
        """Answer 500 when nothing was sent yet; otherwise returning early makes the server cut the connection."""
        self._status = 500
        if not self._sent_head:
            problem = problem_of(RuntimeError(), request_id=self._environ["HTTP_X_REQUEST_ID"])
            await send_problem(self._send, problem)

    def _give_place_back(self) -> None:
        if self._place is not None:
            self._place.release()
            self._place = None

    def _give_back(self) -> None:
        self._give_place_back()
        if self._has_stream and self._streams is not None:
            self._streams.release()
            self._has_stream = False

    def _is_event_stream(self) -> bool:
        return any(
            name.lower() == "content-type" and value.startswith("text/event-stream") for name, value in self._headers
        )

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _run_application(self) -> bytes | None:
        """Return the whole body, or ``None`` when it was streamed."""
        result = self._application(self._environ, self._start_response)
        try:
            if self._environ["REQUEST_METHOD"] == "HEAD" or self._status in _NO_BODY:
                return b""
            if not getattr(result, "streaming", True) or 0 <= self._declared_length() <= _WHOLE_BYTES:
                return self._joined(result)
            return self._stream(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _stream(self, result: Iterable[bytes]) -> bytes | None:
        try:
            self._in_loop(self._begin_stream())
        except Overloaded as error:
            return self._replace_with(error)
        for piece in result:
            if piece:
                self._in_loop(self._send_piece(piece))
        self._in_loop(self._end_stream())
        return None

    def _joined(self, result: Iterable[bytes]) -> bytes:
        """Collect an answer; while none of it is sent it can still be another, as when a file's store breaks off."""
        try:
            return b"".join(result)
        except ModelpoolError as error:
            logger.warning("an answer broke off before it was sent: %s", error)
            return self._replace_with(error)

    def _replace_with(self, error: ModelpoolError) -> bytes:
        problem = problem_of(error, request_id=self._environ["HTTP_X_REQUEST_ID"])
        self._status = problem.status
        self._headers = [*problem.headers.items(), ("Content-Type", "application/problem+json")]
        return problem.to_json()

    def _start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self._status = int(status[:3])
        if self._status not in _OWN_STATUSES:
            HTTPStatus(self._status)
        self._headers = list(headers)

    def _declared_length(self) -> int:
        for name, value in self._headers:
            if name.lower() == "content-length" and value.isdigit():
                return int(value)
        return -1

    def _in_loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
