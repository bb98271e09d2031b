"""One request of a resumable upload as several for Django: each part of its body is kept before the next one is read.

So a slow client holds no thread, a long body no disk, and a client that goes away or a server that is killed loses no
more than the part that was on its way; a client that merely goes away loses nothing that came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from modelpool.core.problems import Problem
from modelpool.inference.asgi import Receive, Scope, Send, throw_away
from modelpool.inference.requests import ClientGone
from modelpool.server.bridge.limits import is_piece
from modelpool.server.bridge.spool import Spool
from modelpool.server.connections.replies import refuse_body

_OFFSET = b"upload-offset"


def offset_of(scope: Scope, headers: Mapping[bytes, bytes]) -> int | None:
    """Return where a piece begins; ``None`` for any other request, and for one whose bytes must be proven first."""
    meant = headers.get(b"x-http-method-override", b"").strip().upper() if scope["method"] == "POST" else b""
    is_patch = scope["method"] == "PATCH" or meant == b"PATCH"
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    sent = headers.get(_OFFSET, b"")
    if not is_patch or b"upload-checksum" in headers or not is_piece(scope["path"], content_type=content_type):
        return None
    return int(sent) if sent.isdigit() and len(sent) <= 18 else None


async def wait_forever() -> Any:
    """Receive nothing: the client's leaving is seen when the next part is read."""
    await asyncio.Event().wait()


class PartAnswer:
    """Keeps what Django answers to a part until it is known whether it was the last."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def send(self, message: Any) -> None:
        """Take a message."""
        self.messages.append(message)

    @property
    def status(self) -> int:
        """The status, 500 where nothing was answered."""
        return int(self.messages[0]["status"]) if self.messages else 500


@dataclass(slots=True)
class Part:
    """Some of the body: what came before there was enough of it, it ended, stopped, or the client left."""

    spool: Spool
    problem: Problem | None = None
    is_gone: bool = False

    @property
    def has_more(self) -> bool:
        """Whether more of the body may come."""
        return self.spool.has_more and self.problem is None and not self.is_gone


async def read_part(spool: Spool, fill: Awaitable[Problem | None]) -> Part:
    """Fill the spool; a client that leaves ends the part, it does not lose it."""
    try:
        return Part(spool, await fill)
    except ClientGone:
        return Part(spool, is_gone=True)


class Piece:
    """A request whose body is handed on in parts."""

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes], *, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._offset = offset_of(scope, headers) or 0
        self._receive = receive
        self._send = send

    def scope_of_part(self) -> Scope:
        """Return the request that stands for the part."""
        own = [(name, value) for name, value in self._scope["headers"] if name != _OFFSET]
        return {**self._scope, "headers": [*own, (_OFFSET, str(self._offset).encode())]}

    async def after(self, part: Part, answer: PartAnswer) -> int | None:
        """Answer when this was the last part or was refused, and return the status; ``None`` to go on."""
        if part.is_gone:
            return 499
        if answer.status == 204 and part.has_more:
            self._offset += part.spool.size_bytes
            return None
        if answer.status == 204 and part.problem is not None:
            await refuse_body(self._send, self._receive, part.problem)
            return part.problem.status
        await self._answer_whole(answer, is_early=part.has_more)
        return answer.status

    async def _answer_whole(self, answer: PartAnswer, *, is_early: bool) -> None:
        """Send Django's answer; where the rest of the body is not read the connection cannot be used again."""
        if not is_early:
            for message in answer.messages:
                await self._send(message)
            return
        start, *bodies = answer.messages
        await self._send({**start, "headers": [*start["headers"], (b"connection", b"close")]})
        for message in bodies:
            await self._send({**message, "more_body": True})
        await throw_away(self._receive)
        await self._send({"type": "http.response.body", "body": b""})
