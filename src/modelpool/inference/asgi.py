"""The shapes of ASGI 3.0, and what to do with a body that nobody wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_LINGER_S = 2.0
_LINGER_BYTES = 16 * 2**20


async def throw_away(receive: Receive) -> None:
    """Read on for a moment, so that a client that is still sending sees the answer and not a reset connection."""
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
