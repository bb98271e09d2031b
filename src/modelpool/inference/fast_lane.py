"""Predictions, answered in front of Django: plain ASGI, no handler, and no SQL for what was seen before.

It takes the routes ``…/predict`` of version 1 when they carry a key of ours, and hands everything else on: a browser's
session is Django's affair.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Iterable
from time import monotonic

from modelpool.conf import ServingSettings
from modelpool.core.errors import ModelpoolError, Overloaded, PermissionDenied, TenantNotFound
from modelpool.core.problems import MEDIA_TYPE, Problem, build_problem, problem_of
from modelpool.inference.data_plane import DataPlane
from modelpool.inference.lookup import RouteKey
from modelpool.inference.metrics import PredictionMeter
from modelpool.inference.principals import KnownKey
from modelpool.inference.requests import (
    PREFIX,
    SUFFIX,
    ASGIApp,
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    SlowBody,
    check_once,
    declared_length,
    is_request_id,
    method_of_query,
    parse_path,
    receive_whole,
    throw_away,
)

logger = logging.getLogger(__name__)

BODY_TIMEOUT_S = 60.0
"""A body must be whole so long after its head."""

_BEARER = b"Bearer mp_"
_BEARER_CHARS = len(b"Bearer ")
_COMMON = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
_PROBLEM = [(b"content-type", MEDIA_TYPE.encode()), *_COMMON[1:]]
_ALLOW = "POST, OPTIONS"
_CLIENT_GONE = 499  # only counted: nobody is left to read it


class FastLane:
    """Answers predictions by ``data_plane``; ``next_app`` gets every other request.

    At most ``settings.max_queue`` predictions are under way at once; what comes on top gets 503 immediately.
    """

    def __init__(
        self,
        next_app: ASGIApp,
        data_plane: DataPlane,
        *,
        settings: ServingSettings,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._next = next_app
        self._plane = data_plane
        self._find_key = data_plane.keys.find
        self._find_route = data_plane.routes.find
        self._pool = data_plane.pool
        self._max_body = int(settings.max_body)
        self._max_under_way = settings.max_queue
        self._body_timeout_s = body_timeout_s
        self._count = PredictionMeter("v1").count
        self._ids = itertools.count()
        self._id_prefix = f"{secrets.token_hex(8)}-".encode()
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction, or hand the request on."""
        path = scope.get("path", "")
        if path.endswith(SUFFIX) and path.startswith(PREFIX):
            headers: Headers = dict(scope["headers"])
            if headers.get(b"authorization", b"").startswith(_BEARER):
                key = parse_path(path)
                if key is not None:
                    await self._serve(key, scope, headers, receive=receive, send=send)
                    return
        await self._next(scope, receive, send)

    async def _serve(self, key: RouteKey, scope: Scope, headers: Headers, *, receive: Receive, send: Send) -> None:
        began = monotonic()
        request_id = headers.get(b"x-request-id")
        if request_id is None or not is_request_id(request_id):
            request_id = b"%b%x" % (self._id_prefix, next(self._ids))
        self.under_way += 1
        try:
            if scope["method"] == "POST":
                body = await self._predict(key, scope, headers, receive=receive)
                status = 200
                sent = [*_COMMON, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id)]
                await send({"type": "http.response.start", "status": 200, "headers": sent})
                await send({"type": "http.response.body", "body": body})
            else:
                status = await self._answer_other_method(key, scope, headers, request_id=request_id, send=send)
        except ClientGone:
            status = _CLIENT_GONE
        except ModelpoolError as error:
            status = await _refuse(error, request_id=request_id, receive=receive, send=send)
        except Exception:
            logger.exception("a prediction failed", extra={"request_id": request_id.decode()})
            status = await _send_problem(send, problem_of(RuntimeError(), request_id=request_id.decode()))
        finally:
            self.under_way -= 1
        self._count(status, monotonic() - began)

    async def _predict(self, key: RouteKey, scope: Scope, headers: Headers, *, receive: Receive) -> bytes:
        """Return the answer's body; where all is at hand nothing is awaited."""
        if len(scope["headers"]) != len(headers):
            check_once(scope, headers)
        if self.under_way > self._max_under_way:
            raise Overloaded("The server has more predictions under way than it takes; try again.")
        secret = headers[b"authorization"][_BEARER_CHARS:]
        self._check_key(self._find_key(secret) or await self._plane.load_key(secret), key)
        declared_length(headers, limit=self._max_body)
        query = scope["query_string"]
        method = method_of_query(query) if query else None
        body = receive_whole(receive, limit=self._max_body, timeout_s=self._body_timeout_s)
        if not isinstance(body, bytes):
            body = await body
        route = self._find_route(key) or await self._plane.load_route(key)
        entry = self._pool.pin(route.key) or await self._plane.load_entry(route)
        content_type = headers.get(b"content-type", b"")
        try:
            answer = self._plane.answer_inline(entry, body, content_type=content_type, method=method)
        except BaseException:
            self._pool.release(entry)
            raise
        if answer is None:
            return await self._plane.answer_in_thread(entry, body, content_type=content_type, method=method)
        self._pool.release(entry)
        return answer

    def _check_key(self, known: KnownKey, key: RouteKey) -> None:
        """Raise for a key that may not: 404 before 403, and another tenant is as good as none."""
        self._plane.check_fresh()
        if known.tenant != key[0] and known.tenant is not None:
            raise TenantNotFound(key[0][:80])
        if not known.may_predict:
            role = known.principal.role
            raise PermissionDenied(f"A key of the role {role!r} may not predict; use one of a predictor.")

    async def _answer_other_method(
        self, key: RouteKey, scope: Scope, headers: Headers, *, request_id: bytes, send: Send
    ) -> int:
        check_once(scope, headers)
        secret = headers[b"authorization"][_BEARER_CHARS:]
        self._check_key(self._find_key(secret) or await self._plane.load_key(secret), key)
        allow = [(b"allow", _ALLOW.encode())]
        if scope["method"] == "OPTIONS":
            await send(
                {"type": "http.response.start", "status": 204, "headers": [*allow, (b"x-request-id", request_id)]}
            )
            await send({"type": "http.response.body", "body": b""})
            return 204
        detail = f"{scope['method'][:20]} is not known here; predict with POST."
        problem = build_problem(405, code="method_not_allowed", detail=detail, request_id=request_id.decode())
        return await _send_problem(send, problem, headers=allow, is_head=scope["method"] == "HEAD")


async def _refuse(error: ModelpoolError, *, request_id: bytes, receive: Receive, send: Send) -> int:
    """Answer an error; where the client may still be sending, read on for a moment and close the connection."""
    if isinstance(error, SlowBody):
        detail = error.detail
        problem = build_problem(408, code=error.code, detail=detail, request_id=request_id.decode())
        return await _send_problem(send, problem, headers=[(b"connection", b"close")])
    problem = problem_of(error, request_id=request_id.decode())
    if problem.status not in (411, 413):
        return await _send_problem(send, problem)
    return await _send_problem(send, problem, headers=[(b"connection", b"close")], unread=receive)


async def _send_problem(
    send: Send,
    problem: Problem,
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    is_head: bool = False,
    unread: Receive | None = None,
) -> int:
    body = problem.to_json()
    own = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    length = (b"content-length", b"%d" % len(body))
    named = [*_PROBLEM, *own, *headers, length, (b"x-request-id", (problem.request_id or "").encode())]
    await send({"type": "http.response.start", "status": problem.status, "headers": named})
    if unread is not None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await throw_away(unread)
        body = b""
    await send({"type": "http.response.body", "body": b"" if is_head else body})
    return problem.status
