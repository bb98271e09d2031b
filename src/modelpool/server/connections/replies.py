"""Whole answers given in front of Django: problems and small JSON documents, as ASGI messages."""

from __future__ import annotations

from collections.abc import Iterable

from modelpool.core.problems import MEDIA_TYPE, Problem
from modelpool.inference.asgi import Receive, Send, throw_away

Headers = list[tuple[bytes, bytes]]

_SAFE: Headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


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
    await throw_away(receive)
    await send({"type": "http.response.body", "body": b""})


async def _start(
    send: Send, *, status: int, body: bytes, content_type: str, headers: Iterable[tuple[str, str]]
) -> None:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    lead = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*lead, *_SAFE, *encoded]})


def _id_of(problem: Problem) -> list[tuple[str, str]]:
    return [("x-request-id", problem.request_id)] if problem.request_id else []
