"""From ASGI to Django's WSGI handler, whose cost per request is a sixth of its ASGI handler's (measured).

The body is read whole first (:mod:`~modelpool.server.bridge.spool`); then a thread of a bounded pool runs Django. An
answer that streams keeps its thread, because Django's database connections belong to threads, but gives back its place
in the queue, so that slow downloads do not keep others waiting; their number is bounded as well.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelpool.conf import Settings
from modelpool.core.errors import LengthRequired, ModelpoolError, Overloaded, StorageQuotaExceeded, TooLarge
from modelpool.core.problems import Problem, build_problem, problem_of
from modelpool.core.tracing import Trace, current_tracer
from modelpool.inference.asgi import Receive, Scope, Send
from modelpool.inference.requests import ClientGone
from modelpool.server.bridge.admission import admit_file
from modelpool.server.bridge.environ import WSGIApplication, build_environ
from modelpool.server.bridge.exchange import Exchange
from modelpool.server.bridge.limits import FORM_BYTES, body_limit
from modelpool.server.bridge.pieces import Part, PartAnswer, Piece, offset_of, read_part, wait_forever
from modelpool.server.bridge.proxies import Peer, TrustedProxies
from modelpool.server.bridge.spool import Spool
from modelpool.server.connections.gate import METHODS, check_head, request_id_of
from modelpool.server.connections.replies import refuse_body
from modelpool.server.telemetry.logs import RequestContext, in_request
from modelpool.server.telemetry.metrics import count_request

logger = logging.getLogger(__name__)
access = logging.getLogger("modelpool.access")

_TENANT = re.compile(r"/(?:api/v1/|console/)?tenants/([^/]{1,63})")
_UPLOAD = re.compile(r"/(?:versions|datasets)/?$")
_WAITING_PER_THREAD = 32


@dataclass(frozen=True, slots=True)
class _Request:
    """What the bridge knows of a request before it reads the body; ``length`` is ``None`` when it is sent in chunks."""

    scope: Scope
    id: str
    headers: dict[bytes, bytes]

    @property
    def length(self) -> int | None:
        declared = self.headers.get(b"content-length")
        return None if declared is None or not declared.isdigit() else int(declared)

    @property
    def is_chunked(self) -> bool:
        return b"transfer-encoding" in self.headers

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1")


class DjangoLane:
    """The ASGI application behind the fast lane: gate, spool, Django.

    ``tmp_dir`` takes bodies over 64 KiB. Must be made in the process that serves, before the first request.
    """

    def __init__(self, application: WSGIApplication, *, settings: Settings, tmp_dir: Path) -> None:
        server = settings.server
        self._application = application
        self._settings = settings
        self._tmp_dir = tmp_dir
        self._proxies = TrustedProxies(server.trusted_proxies)
        self._threads = ThreadPoolExecutor(server.threads + server.max_streams, "django")
        self._writers = ThreadPoolExecutor(4, "spool")
        self._places = asyncio.Semaphore(server.threads)
        self._streams = asyncio.Semaphore(server.max_streams)
        self._waiting = 0
        self.draining = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; never raises but for cancellation."""
        request = _Request(scope, request_id_of(scope["headers"]), dict(scope["headers"]))
        started = time.perf_counter()
        trace = self._trace_upload(request)
        with in_request(RequestContext(request.id, _tenant_of(scope["path"]))):
            status = await self._answer(request, receive, send)
            method = scope["method"] if scope["method"] in METHODS else "other"
            if trace is not None and status != 401:
                attributes: dict[str, str | int] = {
                    "http.response.status_code": status,
                    "modelpool.request_id": request.id,
                    "modelpool.tenant": _tenant_of(scope["path"]),
                }
                trace.end("upload", attributes, is_error=status >= 500)
            count_request(method, status=status, seconds=time.perf_counter() - started)
            if self._settings.server.access_log:
                took_ms = round((time.perf_counter() - started) * 1000, 1)
                access.info("%s %s", scope["method"], scope["path"], extra={"status": status, "ms": took_ms})

    def _trace_upload(self, request: _Request) -> Trace | None:
        """Begin a trace of an upload, where those are traced."""
        tracer = current_tracer()
        if tracer is None or request.scope["method"] != "POST" or not _UPLOAD.search(request.scope["path"]):
            return None
        return tracer.begin(request.headers.get(b"traceparent"))

    async def _answer(self, request: _Request, receive: Receive, send: Send) -> int:
        scope = request.scope
        problem = check_head(
            scope["method"], raw_path=scope["raw_path"], headers=scope["headers"], request_id=request.id
        )
        if problem is None:
            if offset_of(request.scope, request.headers) is not None:
                return await self._answer_piece(request, receive, send)
            spool = Spool(self._tmp_dir, writers=self._writers)
            try:
                problem = await self._fill(spool, request, receive)
                return (
                    await self._run(spool, request, receive, send)
                    if problem is None
                    else await _refuse(problem, receive, send)
                )
            except ClientGone:
                return 499
            finally:
                spool.close()
        return await _refuse(problem, receive, send)

    async def _answer_piece(self, request: _Request, receive: Receive, send: Send) -> int:
        """Hand a piece of a resumable upload on part by part, so that each is kept while the next one comes."""
        limit = body_limit(request.scope["path"], content_type=request.content_type, settings=self._settings)
        if (request.length or 0) > limit:
            return await _refuse(problem_of(TooLarge(limit), request_id=request.id), receive, send)
        try:
            await self._admit(request)
        except ModelpoolError as error:
            return await _refuse(problem_of(error, request_id=request.id), receive, send)
        piece = Piece(request.scope, request.headers, receive=receive, send=send)
        ahead = asyncio.ensure_future(self._next_part(request, receive, limit))
        try:
            while True:
                part = await ahead
                if part.has_more:  # the next one comes while this one is kept
                    ahead = asyncio.ensure_future(self._next_part(request, receive, limit))
                status = await self._answer_part(piece, part, request)
                if status is not None:
                    return status
        finally:
            ahead.cancel()
            with suppress(asyncio.CancelledError):
                (await ahead).spool.close()

    async def _next_part(self, request: _Request, receive: Receive, limit: int) -> Part:
        spool, enough = Spool(self._tmp_dir, writers=self._writers), int(self._settings.uploads.part_size)
        try:
            return await read_part(spool, self._read(spool, request, receive, limit, enough_bytes=enough))
        except BaseException:
            spool.close()
            raise

    async def _answer_part(self, piece: Piece, part: Part, request: _Request) -> int | None:
        scope, answer = piece.scope_of_part(), PartAnswer()
        try:
            await self._run(part.spool, _Request(scope, request.id, dict(scope["headers"])), wait_forever, answer.send)
            return await piece.after(part, answer)
        finally:
            part.spool.close()

    async def _fill(self, spool: Spool, request: _Request, receive: Receive) -> Problem | None:
        """Read the body, or say why not; nothing is read of a body that is declared too long or may not be sent."""
        limit = body_limit(request.scope["path"], content_type=request.content_type, settings=self._settings)
        takes_files = limit > self._settings.limits.max_json
        if not request.length and not request.is_chunked:
            is_missing = takes_files and request.length is None and request.scope["method"] in ("POST", "PUT", "PATCH")
            error = LengthRequired("A file is expected here; send Content-Length, or the body in chunks.")
            return problem_of(error, request_id=request.id) if is_missing else None
        if (request.length or 0) > limit:
            return problem_of(TooLarge(limit), request_id=request.id)
        is_small = request.length is not None and request.length <= FORM_BYTES
        if is_small or not takes_files:  # Django decides, and writes down whom it refuses
            return await self._read(spool, request, receive, limit)
        try:
            free_bytes = await self._admit(request)
            room = limit if free_bytes is None else min(limit, free_bytes + FORM_BYTES)
            if (request.length or 0) > room:
                raise _no_room(free_bytes)
        except ModelpoolError as error:
            return problem_of(error, request_id=request.id)
        return await self._read(spool, request, receive, room, excess=_no_room(free_bytes) if room < limit else None)

    async def _read(
        self,
        spool: Spool,
        request: _Request,
        receive: Receive,
        limit: int,
        *,
        enough_bytes: int | None = None,
        excess: ModelpoolError | None = None,
    ) -> Problem | None:
        """Read the body; ``excess`` is what is said of one over the limit, where that is not the limit of all."""
        try:
            await spool.fill(
                receive,
                limit_bytes=limit,
                timeout_s=self._settings.server.body_timeout,
                enough_bytes=enough_bytes,
            )
        except TooLarge as error:
            return problem_of(excess or error, request_id=request.id)
        except asyncio.CancelledError:
            if not self.draining.is_set():
                raise
            return problem_of(
                Overloaded("The server is stopping; send it again.", retry_after_s=2), request_id=request.id
            )
        except TimeoutError:
            detail = "The body stopped coming; send it again."
            return build_problem(408, code="request_timeout", detail=detail, request_id=request.id)
        except OSError:
            logger.exception("cannot keep a request's body in %s", self._tmp_dir)
            detail = "The server has no room for the body."
            return build_problem(507, code="disk_full", detail=detail, request_id=request.id)
        return None

    async def _admit(self, request: _Request) -> int | None:
        """Return how many bytes of a file its tenant has room for, where that is known before the request is run."""
        loop = asyncio.get_running_loop()
        ask = partial(admit_file, request.headers, tenant=_tenant_of(request.scope["path"]))
        return await loop.run_in_executor(self._threads, ask)

    async def _run(self, spool: Spool, request: _Request, receive: Receive, send: Send) -> int:
        if self._waiting >= _WAITING_PER_THREAD * self._settings.server.threads:
            error = Overloaded("Too many requests are waiting.", retry_after_s=2)
            return await _refuse(problem_of(error, request_id=request.id), receive, send)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        peer = self._peer_of(request)
        environ = build_environ(
            request.scope, body=spool.open(), length=spool.size_bytes, peer=peer, request_id=request.id
        )
        exchange = Exchange(self._application, environ, receive=receive, send=send, threads=self._threads)
        return await exchange.run(place=self._places, streams=self._streams, draining=self.draining)

    def _peer_of(self, request: _Request) -> Peer:
        client = request.scope.get("client")
        address = client[0] if client else ""
        return self._proxies.peer_of(address, scheme=request.scope["scheme"], headers=request.scope["headers"])


async def _refuse(problem: Problem, receive: Receive, send: Send) -> int:
    await refuse_body(send, receive, problem)
    return problem.status


def _no_room(free_bytes: int | None) -> ModelpoolError:
    return StorageQuotaExceeded(
        f"The file is larger than what is left of the tenant's storage quota: {free_bytes} bytes are free. "
        "Delete versions or datasets, or ask for more."
    )


def _tenant_of(path: str) -> str:
    match = _TENANT.match(path)
    return match[1] if match else ""
