"""Predictions, answered in front of Django: plain ASGI, no handler, and no SQL for what was seen before.

It takes the routes ``…/predict`` of version 1 when they carry a key of ours, and hands everything else on: a browser's
session is Django's affair.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from time import monotonic

import msgspec

from modelpool.conf import ServingSettings
from modelpool.core.errors import MethodNotAllowed, Overloaded, PermissionDenied, TenantNotFound
from modelpool.core.metrics import catalogue
from modelpool.core.problems import MEDIA_TYPE, problem_of
from modelpool.inference.data_plane import DataPlane
from modelpool.inference.lookup import RouteKey
from modelpool.inference.metrics import METERS
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
_METHODS = ("POST", "OPTIONS")
_ALLOW = (b"allow", ", ".join(_METHODS).encode())
_CLOSING = frozenset({408, 411, 413})
_TURNED_AWAY = frozenset({429, 503})
_NAMELESS = frozenset({401, 403, 404})  # not counted under the model: a stranger may have asked
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
        self._feed = data_plane.feed
        self._max_body = int(settings.max_body)
        self._max_under_way = settings.max_queue
        self._body_timeout_s = body_timeout_s
        self._count = METERS.of("v1").count
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
        status = 200
        try:
            body = await self._predict(key, scope, headers, receive=receive)
        except ClientGone:
            status = _CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - every error has an answer
            refusal = _refusal_of(error, request_id=request_id, is_head=scope["method"] == "HEAD")
            status = refusal.status
            if status in _TURNED_AWAY:
                catalogue.REJECTED.labels(refusal.code).inc()
        finally:
            self.under_way -= 1
        try:
            if status == 200:
                sent = [*_COMMON, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id)]
                await send({"type": "http.response.start", "status": 200, "headers": sent})
                await send({"type": "http.response.body", "body": body})
            elif status != _CLIENT_GONE:
                await _send_refusal(send, refusal, receive=receive)
        except (RuntimeError, OSError):  # the connection was closed under the answer
            logger.debug("an answer could not be sent", exc_info=True)
            status = _CLIENT_GONE
        self._count(None if status in _NAMELESS else self._find_route(key), status, monotonic() - began)

    async def _predict(self, key: RouteKey, scope: Scope, headers: Headers, *, receive: Receive) -> bytes:
        """Return the answer's body; where all is at hand nothing is awaited. What is no prediction is raised."""
        if len(scope["headers"]) != len(headers):
            check_once(scope, headers)
        if self.under_way > self._max_under_way:
            raise Overloaded("The server has more predictions under way than it takes; try again.")
        secret = headers[b"authorization"][_BEARER_CHARS:]
        known = self._find_key(secret) or await self._plane.load_key(secret)
        self._check_key(known, key)
        if known.limiter is not None:
            known.limiter.admit()
        if scope["method"] != "POST":
            raise MethodNotAllowed(scope["method"], _METHODS)
        declared_length(headers, limit=self._max_body)
        query = scope["query_string"]
        method = method_of_query(query) if query else None
        body = receive_whole(receive, limit=self._max_body, timeout_s=self._body_timeout_s)
        if not isinstance(body, bytes):
            body = await body
        route = self._find_route(key) or await self._plane.load_route(key)
        entry = self._pool.pin(route.key) or await self._plane.load_entry(route)
        content_type = headers.get(b"content-type", b"")
        answer = self._plane.answer(entry, body, content_type=content_type, method=method)
        return answer if isinstance(answer, bytes) else await answer

    def _check_key(self, known: KnownKey, key: RouteKey) -> None:
        """Raise for a key that may not: 404 before 403, and another tenant is as good as none."""
        if monotonic() >= self._feed.valid_until:
            self._plane.check_fresh()
        if known.tenant != key[0] and known.tenant is not None:
            raise TenantNotFound(key[0][:80])
        if not known.may_predict:
            role = known.principal.role
            raise PermissionDenied(f"A key of the role {role!r} may not predict; use one of a predictor.")


class Refusal(msgspec.Struct, frozen=True):
    """An answer other than a prediction; ``is_body_unread`` where the client may still be sending."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    is_body_unread: bool = False
    code: str = ""


def _refusal_of(error: Exception, *, request_id: bytes, is_head: bool) -> Refusal:
    """Return what to answer to an error; one that is not of our tree is logged here."""
    name = request_id.decode()
    if isinstance(error, MethodNotAllowed) and error.method == "OPTIONS":
        return Refusal(204, [_ALLOW, (b"x-request-id", request_id)], b"")
    problem = problem_of(error, request_id=name)
    if problem.status == 500:
        logger.error("a prediction failed", exc_info=error, extra={"request_id": name})
    body = problem.to_json()
    headers = [*_PROBLEM, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id)]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    headers += [_ALLOW] if problem.status == 405 else []
    headers += [(b"connection", b"close")] if problem.status in _CLOSING else []
    return Refusal(problem.status, headers, b"" if is_head else body, problem.status in (411, 413), problem.code)


async def _send_refusal(send: Send, refusal: Refusal, *, receive: Receive) -> None:
    """Answer; where the client may still be sending its body, read on for a moment, so that it sees the answer."""
    await send({"type": "http.response.start", "status": refusal.status, "headers": refusal.headers})
    if refusal.is_body_unread:
        await send({"type": "http.response.body", "body": refusal.body, "more_body": True})
        await throw_away(receive)
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": refusal.body})
