"""Whole answers given in front of Django: problems and small JSON documents, as ASGI messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from modelpool.core.problems import MEDIA_TYPE, Problem

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_SAFE: Headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
_LINGER_S = 2.0
_LINGER_BYTES = 16 * 2**20


async def send_whole(
    send: Send, *, status: int, body: bytes, content_type: str, headers: Iterable[tuple[str, str]] = ()
) -> None:
    """Answer with one body that must not be cached or sniffed."""
    await _start(send, status=status, body=body, content_type=content_type, headers=headers)
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, problem: Problem, *, headers: Iterable[tuple[str, str]] = ()) -> None:
    """Answer with a problem document."""
    named = [*problem.headers.items(), *headers, *_id_of(problem)]
    await send_whole(send, status=problem.status, body=problem.to_json(), content_type=MEDIA_TYPE, headers=named)


async def refuse_body(send: Send, receive: Receive, problem: Problem) -> None:
    """Answer before the body has been read, and close the connection.

    What the client still sends is read and thrown away for a moment: closing at once would reset the connection, and
    the client would see that instead of the answer.
    """
    named = [*problem.headers.items(), ("connection", "close"), *_id_of(problem)]
    body = problem.to_json()
    await _start(send, status=problem.status, body=body, content_type=MEDIA_TYPE, headers=named)
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await _throw_away(receive)
    await send({"type": "http.response.body", "body": b""})


async def _start(
    send: Send, *, status: int, body: bytes, content_type: str, headers: Iterable[tuple[str, str]]
) -> None:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    lead = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*lead, *_SAFE, *encoded]})


async def _throw_away(receive: Receive) -> None:
    seen = 0
    try:
        async with asyncio.timeout(_LINGER_S):
            while seen < _LINGER_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
                seen += len(message.get("body", b""))
    except TimeoutError:
        return


def _id_of(problem: Problem) -> list[tuple[str, str]]:
    return [("x-request-id", problem.request_id)] if problem.request_id else []
