"""Predictions, answered in front of Django: no handler, and no SQL for what was seen before.

It takes the routes ``…/predict`` of version 1 when they carry a key of ours, and hands everything else on: a browser's
session is Django's affair.

There are two ways in. :meth:`FastLane.begin` is for a connection that has the whole request at hand: where all else is
at hand too, the answer comes back at once. ``await lane(scope, receive, send)`` is ASGI. Both walk the same steps, a
generator that yields what must be awaited: a key, a route or a model that is not known yet, a body that is on its way.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Awaitable, Coroutine, Generator
from functools import lru_cache, partial
from time import monotonic
from typing import Any

from modelpool.conf import ServingSettings
from modelpool.core.errors import MethodNotAllowed, Overloaded, PermissionDenied, TenantNotFound, TooLarge
from modelpool.core.metrics import catalogue
from modelpool.core.problems import MEDIA_TYPE, problem_of
from modelpool.core.tracing import Trace, current_tracer
from modelpool.inference.asgi import ASGIApp, Receive, Scope, Send
from modelpool.inference.data_plane import DataPlane, Entry
from modelpool.inference.observation.metrics import METERS
from modelpool.inference.queues.calls import Tenants
from modelpool.inference.requests import (
    MAX_PATH,
    PREFIX,
    SUFFIX,
    Answer,
    Begun,
    ClientGone,
    FixedHeaders,
    Head,
    Steps,
    Way,
    check_once,
    declared_length,
    go_on,
    is_request_id,
    method_of_query,
    parse_path,
    receive_whole,
    send_answer,
)
from modelpool.inference.resolution.lookup import Route, RouteKey
from modelpool.inference.resolution.principals import KnownKey, digest_for_cache
from modelpool.inference.resolution.traffic import TrafficPlan

logger = logging.getLogger(__name__)

BODY_TIMEOUT_S = 60.0
"""A body must be whole so long after its head."""

_BEARER = b"Bearer mp_"
_BEARER_CHARS = len(b"Bearer ")
_COMMON = FixedHeaders.of(
    [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
)
_PROBLEM = [(b"content-type", MEDIA_TYPE.encode()), *_COMMON.headers[1:]]
_METHODS = ("POST", "OPTIONS")
_ALLOW = (b"allow", ", ".join(_METHODS).encode())
_CLOSING = frozenset({408, 411, 413})
_TURNED_AWAY = frozenset({429, 503})
_NAMELESS = frozenset({401, 403, 404})  # not counted under the model: a stranger may have asked
_STRANGERS = "?"  # no tenant is called so
_CLIENT_GONE = 499  # only counted: nobody is left to read it


class Ask:
    """One prediction on its way; ``body`` is there already, or is read from ``receive``."""

    __slots__ = ("body", "chosen_at", "head", "place", "plan", "receive", "request_id", "route", "trace", "way")

    def __init__(self, way: Way, head: Head, request_id: bytes, *, body: bytes | None, receive: Receive | None) -> None:
        self.way = way
        self.head = head
        self.request_id = request_id
        self.body = body
        self.receive = receive
        self.route: Route | None = None
        self.plan: TrafficPlan | None = None
        self.chosen_at = 0.0
        self.place: str | None = None
        self.trace: Trace | None = None


class FastLane:
    """Answers predictions by ``data_plane``; ``next_app`` gets every other request.

    At most ``settings.max_queue`` predictions are under way at once, of which ``settings.max_queue_per_tenant`` of one
    tenant, or of strangers whose keys are looked up, may wait; what comes on top gets 503 immediately.
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
        self._max_of_owner = settings.max_queue_per_tenant
        self._waiting = Tenants()
        self._body_timeout_s = body_timeout_s
        self._count = METERS.of("v1").count
        self._tracer = current_tracer()
        self._ids = itertools.count()
        self._id_prefix = f"{secrets.token_hex(8)}-".encode()
        self.under_way = 0

    def begin(self, head: Head, body: bytes) -> Begun:
        """Answer a whole request, or return the application that will, or ``None`` where it is not for this lane."""
        steps = self._steps(head, body=body)
        if steps is None:
            return None
        try:
            wanted = next(steps)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        return partial(_finish, steps, wanted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction, or hand the request on."""
        path = scope.get("path", "")
        steps = None
        if path.endswith(SUFFIX):
            sent = scope["headers"]
            steps = self._steps(Head(scope["method"], path, scope["query_string"], dict(sent), sent), receive=receive)
        if steps is None:
            await self._next(scope, receive, send)
            return
        try:
            answer = await go_on(steps, next(steps))
        except StopIteration as done:
            answer = done.value
        except ClientGone:
            return
        await _send(send, answer, receive=receive)

    def _steps(self, head: Head, *, body: bytes | None = None, receive: Receive | None = None) -> Steps | None:
        """Return the way to an answer, or ``None`` for what is no prediction with a key of ours."""
        way = head.way or _way_of(head)
        if way is None:
            return None
        request_id = way.request_id
        if request_id is None:
            request_id = b"%b%x" % (self._id_prefix, next(self._ids))
        return self._answer(Ask(way, head, request_id, body=body, receive=receive))

    def _answer(self, ask: Ask) -> Steps:
        """Predict and count; every error but :class:`ClientGone` has an answer."""
        began = monotonic()
        self.under_way += 1
        status = _CLIENT_GONE
        if self._tracer is not None:
            ask.trace = self._tracer.begin(ask.head.headers.get(b"traceparent"))
        try:
            body = yield from self._predict(ask)
            answer = _answer_with(body, ask)
            status = 200
            if ask.plan is not None and ask.plan.shadow is not None:
                self._mirror(ask, body)
        except ClientGone:
            raise
        except Exception as error:  # noqa: BLE001 - every error has an answer
            answer = _refusal_of(error, request_id=ask.request_id, is_head=ask.head.method == "HEAD")
            status = answer.status
            if ask.route is not None:
                answer.headers.extend(ask.route.headers)
        finally:
            self.under_way -= 1
            if ask.place is not None:
                self._waiting.leave(ask.place)
            route = None if status in _NAMELESS else ask.route or self._find_route(ask.way.key)
            self._count(route, status, monotonic() - began)
            if route is not None and route.variant and status != _CLIENT_GONE:
                self._plane.comparisons.answered(route, status, monotonic() - ask.chosen_at)
            if ask.trace is not None:
                _end_trace(ask.trace, ask, route, status=status)
        return answer

    def _predict(self, ask: Ask) -> Generator[Awaitable[Any], Any, bytes]:
        """Return the body of the answer, yielding what must be awaited; what is no prediction is raised."""
        way = ask.way
        if self.under_way > self._max_under_way:
            raise Overloaded("The server has more predictions under way than it takes; try again.")
        known: KnownKey
        if way.is_checked:
            known = self._find_key(way.key_digest) or (yield self._look_up(ask))
            self._check_key(known, way.key)
        else:
            known = yield from self._check(ask)
        body = ask.body
        if body is None:
            assert ask.receive is not None
            self._take_place(ask, ask.way.key[0])
            arriving = receive_whole(ask.receive, limit=self._max_body, timeout_s=self._body_timeout_s)
            ask.body = body = arriving if isinstance(arriving, bytes) else (yield arriving)
        elif len(body) > self._max_body:
            raise TooLarge(self._max_body)
        if known.limiter is not None:
            known.limiter.admit()
        route: Route = self._find_route(way.key) or (yield self._plane.load_route(way.key))
        route = route if route.traffic is None else _choose(route.traffic, ask)
        ask.route = route
        if ask.trace is not None:
            ask.trace.mark("route")
        entry = self._pool.pin(route.key) or (yield self._load(ask, route))
        if ask.trace is not None:
            ask.trace.mark("load")
        answer = self._plane.answer(entry, body, content_type=way.content_type, method=way.method, trace=ask.trace)
        if not isinstance(answer, bytes):
            answer = yield self._queue(ask, answer, entry)
        if ask.trace is not None:
            ask.trace.mark("compute")
        return answer

    def _take_place(self, ask: Ask, owner: str) -> None:
        """Count a prediction that must wait among those of a tenant, so that no tenant takes all there are."""
        if ask.place == owner:
            return
        if self._waiting.counts[owner] >= self._max_of_owner:
            whose = "Programs with unknown keys have" if owner == _STRANGERS else "This tenant has"
            raise Overloaded(f"{whose} too many predictions under way; try again.")
        if ask.place is not None:
            self._waiting.leave(ask.place)
        self._waiting.enter(owner)
        ask.place = owner

    def _look_up(self, ask: Ask) -> Awaitable[KnownKey]:
        secret = _secret_of(ask.head)
        if not self._plane.is_loading_key(secret):
            self._take_place(ask, _STRANGERS)
        return self._plane.load_key(secret)

    def _load(self, ask: Ask, route: Route) -> Awaitable[Entry]:
        self._take_place(ask, ask.way.key[0])
        return self._plane.load_entry(route)

    def _queue(self, ask: Ask, answer: Awaitable[bytes], entry: Entry) -> Awaitable[bytes]:
        try:
            self._take_place(ask, ask.way.key[0])
        except Overloaded:
            if isinstance(answer, Coroutine):
                answer.close()  # it has not begun, so the pin is still ours
            self._pool.release(entry)
            raise
        return answer

    def _check(self, ask: Ask) -> Generator[Awaitable[Any], Any, KnownKey]:
        """Check a head that was not seen before, and note in its way what need not be asked again."""
        head, way = ask.head, ask.way
        if len(head.sent) != len(head.headers):
            check_once(head)
        secret = _secret_of(head)
        digest = digest_for_cache(secret)
        known: KnownKey = self._find_key(digest) or (yield self._look_up(ask))
        self._check_key(known, way.key)
        if head.method != "POST":
            raise MethodNotAllowed(head.method, _METHODS)
        declared_length(head.headers, limit=self._max_body)
        way.method = method_of_query(head.query) if head.query else None
        way.content_type = head.headers.get(b"content-type", b"")
        way.key_digest = digest
        way.is_checked = True
        return known

    def _mirror(self, ask: Ask, answer: bytes) -> None:
        """Offer an answered request to the shadow of its model."""
        assert ask.plan is not None
        assert ask.route is not None
        assert ask.body is not None
        self._plane.shadows.offer(
            ask.plan,
            ask.route,
            body=ask.body,
            content_type=ask.way.content_type,
            method=ask.way.method,
            answer=answer,
            seconds=monotonic() - ask.chosen_at,
        )

    def _check_key(self, known: KnownKey, key: RouteKey) -> None:
        """Raise for a key that may not: 404 before 403, and another tenant is as good as none."""
        if monotonic() >= self._feed.valid_until:
            self._plane.check_fresh()
        if known.tenant != key[0] and known.tenant is not None:
            raise TenantNotFound(key[0][:80])
        if not known.may_predict:
            role = known.principal.role
            raise PermissionDenied(f"A key of the role {role!r} may not predict; use one of a predictor.")


def _choose(plan: TrafficPlan, ask: Ask) -> Route:
    ask.plan, ask.chosen_at = plan, monotonic()
    return plan.choose(ask.head.headers)


def _end_trace(trace: Trace, ask: Ask, route: Route | None, *, status: int) -> None:
    """Hand a trace over, unless a stranger asked: what is sent on behalf of the anonymous would be theirs to flood."""
    if status == 401:
        return
    attributes: dict[str, str | int] = {
        "http.response.status_code": status,
        "modelpool.request_id": ask.request_id.decode(),
    }
    if route is not None:
        attributes |= {
            "modelpool.tenant": route.tenant,
            "modelpool.model": route.model,
            "modelpool.version": route.number,
        }
    trace.end("predict", attributes, is_error=status >= 500)


def _answer_with(body: bytes, ask: Ask) -> Answer:
    headers = [(b"content-length", b"%d" % len(body)), (b"x-request-id", ask.request_id)]
    fixed = _COMMON if ask.route is None else _fixed_headers(ask.route.headers)
    return Answer(200, headers, body, fixed=fixed)


@lru_cache(maxsize=4096)
def _fixed_headers(of_route: tuple[tuple[bytes, bytes], ...]) -> FixedHeaders:
    return FixedHeaders.of([*_COMMON.headers, *of_route])


def _secret_of(head: Head) -> bytes:
    return head.headers[b"authorization"][_BEARER_CHARS:]


def _way_of(head: Head) -> Way | None:
    """Note on the head whose prediction it asks for; ``None`` for what is no prediction with a key of ours."""
    path, headers = head.path, head.headers
    if not path.endswith(SUFFIX) or not path.startswith(PREFIX) or len(path) > MAX_PATH:
        return None
    key = parse_path(path)
    if key is None or not headers.get(b"authorization", b"").startswith(_BEARER):
        return None
    request_id = headers.get(b"x-request-id")
    head.way = Way(key, request_id if request_id is not None and is_request_id(request_id) else None)
    return head.way


def _refusal_of(error: Exception, *, request_id: bytes, is_head: bool) -> Answer:
    """Return what to answer to an error; one that is not of our tree is logged here."""
    name = request_id.decode()
    if isinstance(error, MethodNotAllowed) and error.method == "OPTIONS":
        return Answer(204, [_ALLOW, (b"x-request-id", request_id)], b"")
    problem = problem_of(error, request_id=name)
    if problem.status in _TURNED_AWAY:
        catalogue.REJECTED.labels(problem.code).inc()
    if problem.status == 500:
        logger.error("a prediction failed", exc_info=error, extra={"request_id": name})
    body = problem.to_json()
    headers = [*_PROBLEM, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id)]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    headers += [_ALLOW] if problem.status == 405 else []
    headers += [(b"connection", b"close")] if problem.status in _CLOSING else []
    return Answer(problem.status, headers, b"" if is_head else body, problem.status in (411, 413))


async def _finish(steps: Steps, wanted: Awaitable[Any], _: Scope, receive: Receive, send: Send) -> None:
    """Answer a request whose body is known, once what it waits for is there; an ASGI application."""
    await _send(send, await go_on(steps, wanted), receive=receive)


async def _send(send: Send, answer: Answer, *, receive: Receive) -> None:
    try:
        await send_answer(send, answer, receive=receive)
    except (RuntimeError, OSError):  # the connection was closed under the answer
        logger.debug("an answer could not be sent", exc_info=True)
