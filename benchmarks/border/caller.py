"""A stand-in for the foreign service on a machine without Java: the same three ways, from another process of Python.

``caller.py PORT process COMMAND…``, ``caller.py PORT http URL [AUTHORIZATION]``, ``caller.py PORT socket HOST PORT``.
It answers POST with what Python answered, and GET with 200; ``Caller.java`` beside it is the real thing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import httpx

Ask = Callable[[bytes], Awaitable[bytes]]


def over_process(command: list[str]) -> Ask:
    """A process for each request, JSON over its input and output."""

    async def ask(body: bytes) -> bytes:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        answer, _ = await process.communicate(body)
        if process.returncode:
            raise RuntimeError(f"Python ended with {process.returncode}")
        return answer

    return ask


def over_http(url: str, authorization: str = "") -> Ask:
    """A server by HTTP, connections kept."""
    client = httpx.AsyncClient(headers={"Content-Type": "application/json", "Authorization": authorization})

    async def ask(body: bytes) -> bytes:
        answer = await client.post(url, content=body)
        answer.raise_for_status()
        return answer.content

    return ask


def over_socket(host: str, port: str) -> Ask:
    """A process behind a raw socket, connections kept."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(body: bytes) -> bytes:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(host, int(port))
        writer.write(body + b"\n")
        answer = await reader.readline()
        idle.append((reader, writer))
        return answer

    return ask


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ask: Ask) -> None:
    """Answer the requests of a connection; as little of HTTP as a load generator needs."""
    while head := await _head_of(reader):
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        status, answer = "200 OK", b""
        if head.startswith("POST"):
            try:
                answer = await ask(body)
            except (OSError, RuntimeError, httpx.HTTPError) as error:
                status, answer = "500 Internal Server Error", str(error).encode()
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(answer)}\r\n\r\n".encode() + answer)
    writer.close()


async def _head_of(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""


async def main() -> None:
    """Serve until told to end."""
    port, kind, *options = sys.argv[1:]
    ask = over_process(options) if kind == "process" else {"http": over_http, "socket": over_socket}[kind](*options)
    server = await asyncio.start_server(lambda reader, writer: serve(reader, writer, ask), "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
