"""A client whose connection is reset takes its request out of the queue; one that only stops sending does not.

The end of what a client sends looks the same whether it still listens or not, so that is answered.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn

from modelpool.server.connections.protocol import guarded

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


def run(client: Callable[[int, asyncio.Event, asyncio.Event], Any]) -> list[str]:
    """Return what became of a request that waits, when ``client`` (port, its begin, what ends it) is done."""
    seen: list[str] = []

    async def main() -> None:
        begun, answer, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def waits(_scope: Any, _receive: Any, send: Any) -> None:
            seen.append("begun")
            begun.set()
            try:
                await answer.wait()
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
                await send({"type": "http.response.body", "body": b""})
                seen.append("answered")
            except asyncio.CancelledError:
                seen.append("left")
                raise
            finally:
                ended.set()

        listening = socket.create_server(("127.0.0.1", 0))
        protocol: Any = guarded(max_connections=10, begin=lambda _head, _body: waits)
        config = uvicorn.Config(waits, http=protocol, ws="none", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve([listening]))
        await client(listening.getsockname()[1], begun, answer)
        await asyncio.wait_for(ended.wait(), 20)
        server.should_exit = True
        await serving

    asyncio.run(main())
    return seen


async def _begin(port: int, begun: asyncio.Event) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    await writer.drain()
    await asyncio.wait_for(begun.wait(), 20)
    return reader, writer


def test_a_client_that_resets_its_connection_leaves_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    async def client(port: int, begun: asyncio.Event, _: asyncio.Event) -> None:
        _, writer = await _begin(port, begun)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    assert run(client) == ["begun", "left"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_client_that_stopped_sending_is_answered() -> None:
    async def client(port: int, begun: asyncio.Event, answer: asyncio.Event) -> None:
        reader, writer = await _begin(port, begun)
        writer.write_eof()
        await asyncio.sleep(0.05)
        answer.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()

    assert run(client) == ["begun", "answered"]
