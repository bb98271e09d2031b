"""What a prediction's request must look like: its path, its headers, and a body that is bounded while it is read."""

from __future__ import annotations

import asyncio
import re
import types
from collections.abc import Awaitable, Generator, Set
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from modelpool.core.errors import (
    InvalidField,
    LengthRequired,
    Malformed,
    SlowBody,
    TooLarge,
    UnsupportedMediaType,
)
from modelpool.inference.asgi import ASGIApp, Message, Receive, Send, throw_away
from modelpool.inference.resolution.lookup import RouteKey

Headers = dict[bytes, bytes]
SentHeaders = list[tuple[bytes, bytes]]
Steps = Generator[Awaitable[Any], Any, "Answer"]
"""The way to an answer: it yields what has to be awaited, and is given what that returned."""

PREFIX = "/api/v1/tenants/"
SUFFIX = "/predict"
MAX_PATH = 1000
"""Longer paths name no model."""

_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_PLAIN = re.compile(r"(/(?!\.{1,2}(/|$))[!-.0-\[\]-~]+)+")
_MAX_PATHS = 16_384
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""A client's own request id, where it is harmless."""

ONCE = frozenset({b"host", b"authorization", b"content-length", b"content-type", b"transfer-encoding", b"x-request-id"})
"""Headers of which two would mean different things to different readers."""


class ClientGone(Exception):
    """The client closed the connection before its request was whole; nobody is left to answer."""


class Way(msgspec.Struct):
    """What a head says, worked out once: whose prediction it asks for, and how.

    ``request_id`` is the client's own, if it sent a harmless one. The rest is there when ``is_checked``.
    """

    key: RouteKey
    request_id: bytes | None
    is_checked: bool = False
    key_digest: bytes = b""
    method: str | None = None
    content_type: bytes = b""


class Head(msgspec.Struct):
    """The head of a request; ``headers`` holds the last of those that are in ``sent`` more than once.

    A connection that sends the same head again, but for the length of the body, gives the same object: ``way`` is what
    was found in it before.
    """

    method: str
    path: str
    query: bytes
    headers: Headers
    sent: SentHeaders
    way: Way | None = None


class FixedHeaders(NamedTuple):
    """Headers that are the same for many answers, also as they are written."""

    headers: SentHeaders
    lines: bytes

    @classmethod
    def of(cls, headers: SentHeaders) -> FixedHeaders:
        """Return these headers and their lines."""
        return cls(headers, b"".join(b"%b: %b\r\n" % header for header in headers))


_NO_HEADERS = FixedHeaders([], b"")


class Answer(msgspec.Struct, frozen=True):
    """A whole answer; ``is_body_unread`` where the client may still be sending its request.

    Its headers are the ``fixed`` ones, then ``headers``.
    """

    status: int
    headers: SentHeaders
    body: bytes
    is_body_unread: bool = False
    fixed: FixedHeaders = _NO_HEADERS


Begun = Answer | ASGIApp | None
"""What becomes of a request that is there as a whole: its answer, what will answer it, or nothing of ours."""


@lru_cache(maxsize=_MAX_PATHS)
def parse_path(path: str) -> RouteKey | None:
    """Return tenant, model and selector of a path below :data:`PREFIX` that ends in :data:`SUFFIX`, or ``None``.

    What is no plain path (an empty or dotted segment, control characters) is ``None`` too: the gate refuses it.
    """
    if _PLAIN.fullmatch(path) is None:
        return None
    parts = path.split("/")
    if len(parts) == 8 and parts[5] == "models":
        return parts[4], parts[6], None
    if len(parts) == 10 and parts[5] == "models":
        if parts[7] == "versions" and _VERSION.fullmatch(parts[8]):
            return parts[4], parts[6], int(parts[8])
        if parts[7] == "aliases":
            return parts[4], parts[6], parts[8]
    return None


def is_request_id(value: bytes) -> bool:
    """Say whether a client's own request id is harmless."""
    return REQUEST_ID.fullmatch(value) is not None


def check_once(head: Head) -> None:
    """Raise :class:`Malformed` for a header that may be there once and is there twice."""
    if len(head.sent) == len(head.headers):
        return
    twice = find_repeated(head.sent, ONCE)
    if twice is not None:
        raise Malformed(f"The header {twice!r} is there more than once.")


def find_repeated(headers: SentHeaders, once: Set[bytes]) -> str | None:
    """Return the name of the first header of ``once`` that is there more than once."""
    names = [name for name, _ in headers if name in once]
    return next((name.decode() for name in names if names.count(name) > 1), None)


def declared_length(headers: Headers, *, limit: int) -> int | None:
    """Return the length of the body, ``None`` for a chunked one.

    Raises :class:`TooLarge`, :class:`LengthRequired` where neither is said, :class:`Malformed` where both are, and
    :class:`UnsupportedMediaType` for a compressed body.
    """
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise UnsupportedMediaType("Compressed bodies are not read; send the body as it is.")
    length = headers.get(b"content-length")
    if b"transfer-encoding" in headers:
        if length is not None:
            raise Malformed("The request says both Content-Length and Transfer-Encoding.")
        if headers[b"transfer-encoding"].lower() != b"chunked":
            raise Malformed("Transfer-Encoding may only be chunked; send the body as it is.")
        return None
    if length is None:
        raise LengthRequired("Send Content-Length, or send the body in chunks.")
    if not length.isdigit():
        raise Malformed("Content-Length is not a number.")
    if int(length[:20]) > limit:
        raise TooLarge(limit)
    return int(length)


def receive_whole(receive: Receive, *, limit: int, timeout_s: float) -> bytes | Awaitable[bytes]:
    """Return the whole body where it has arrived with the head, as small ones do, otherwise what to await for it.

    Raises :class:`TooLarge` as soon as it is longer than ``limit``, :class:`SlowBody` when it is not whole after
    ``timeout_s``, and :class:`ClientGone`.
    """
    steps = receive().__await__()
    try:
        waits_for = next(steps)
    except StopIteration as done:
        message: Message = done.value
        if message["type"] == "http.request" and not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if len(body) > limit:
                raise TooLarge(limit) from None
            return body
        return _read_on(receive, _given(message), limit=limit, timeout_s=timeout_s)
    return _read_on(receive, _go_on(steps, waits_for), limit=limit, timeout_s=timeout_s)


async def go_on(steps: Steps, wanted: Awaitable[Any]) -> Answer:
    """Await what ``steps`` want, one thing after the other, and return the answer they end with."""
    while True:
        try:
            try:
                found = await wanted
            except BaseException as error:  # noqa: BLE001 - a cancellation too, handed in
                wanted = steps.throw(error)
            else:
                wanted = steps.send(found)
        except StopIteration as done:
            answer: Answer = done.value
            return answer


async def _read_on(receive: Receive, first: Awaitable[Message], *, limit: int, timeout_s: float) -> bytes:
    pieces, size = [], 0
    try:
        async with asyncio.timeout(timeout_s):
            message = await first
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientGone
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > limit:
                    raise TooLarge(limit)
                if not message.get("more_body", False):
                    return b"".join(pieces)
                message = await receive()
    except TimeoutError as error:
        raise SlowBody(f"The body was not whole after {timeout_s:g} s.") from error


async def _given(message: Message) -> Message:
    return message


@types.coroutine
def _go_on(steps: Generator[Any, Any, Message], waits_for: Any) -> Generator[Any, Any, Message]:
    """Await what was begun by hand and is not done: it wants ``waits_for`` first."""
    while True:
        try:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - a cancellation, handed in
                waits_for = steps.throw(error)
            else:
                waits_for = steps.send(sent)
        except StopIteration as done:
            message: Message = done.value
            return message


def method_of_query(query: bytes) -> str | None:
    """Return ``method`` of ``?method=predict_proba``, which content types without parameters of their own need.

    Raises :class:`InvalidField` for any other parameter, or for one given twice.
    """
    if not query:
        return None
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=8
        )
    except ValueError as error:
        raise Malformed("The query string is malformed.") from error
    for name, _ in pairs:
        if name != "method":
            raise InvalidField(name[:80], "is not a parameter here; the query takes method.", code="unknown_field")
    if len(pairs) > 1:
        raise InvalidField("method", "is there more than once.")
    return pairs[0][1]


async def send_answer(send: Send, answer: Answer, *, receive: Receive) -> None:
    """Answer; where the client may still be sending its body, read on for a moment, so that it sees the answer."""
    headers = [*answer.fixed.headers, *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if answer.is_body_unread:
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        await throw_away(receive)
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": answer.body})
