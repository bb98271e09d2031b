"""Requests that come on their own account, whether earlier ones are answered or not: a Poisson process."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from urllib.parse import urlsplit

from load import LoadResult, Request

_CONNECTIONS = 128
_SLEEP_S = 0.0015  # timers are no finer; shorter pauses are spent in the loop


class _Connection(asyncio.Protocol):
    """Keeps one request under way; ``answered`` is told whether it was answered with 200."""

    transport: asyncio.WriteTransport

    def __init__(self, owner: _Arrivals) -> None:
        self._owner, self._buffer, self._due = owner, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def send(self, message: bytes, *, due: float) -> None:
        self._due = due
        self.transport.write(message)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if end and len(rest) >= (int(length[1]) if length else 0):
            is_good, self._buffer = b" 200 " in head[:16], b""
            self._owner.answered(self, due=self._due, is_good=is_good)


class _Arrivals:
    """One run; a request that finds no free connection waits for one, and its time counts from when it was due."""

    def __init__(self, request: Request) -> None:
        parts = urlsplit(request.url)
        head = {"Host": parts.netloc, "Content-Length": str(len(request.body)), **request.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self._message = f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + request.body
        self._address = (parts.hostname, parts.port)
        self._free: deque[_Connection] = deque()
        self._late: deque[float] = deque()
        self.times_ms: list[float] = []
        self.errors = self.open = 0

    async def run(self, *, per_second: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_CONNECTIONS):
            self._free.append((await loop.create_connection(lambda: _Connection(self), *self._address))[1])
        connections = list(self._free)
        due, rng = time.perf_counter() + 0.05, random.Random(1)
        end = due + seconds
        while due < end:
            while (left_s := due - time.perf_counter()) > 0:  # noqa: ASYNC110  a time, no event
                await asyncio.sleep(left_s - _SLEEP_S if left_s > _SLEEP_S else 0)
            self._ask(due)
            due += rng.expovariate(per_second)
        while self.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for connection in connections:
            connection.transport.close()

    def _ask(self, due: float) -> None:
        self.open += 1
        if self._free:
            self._free.popleft().send(self._message, due=due)
        else:
            self._late.append(due)

    def answered(self, connection: _Connection, *, due: float, is_good: bool) -> None:
        self.times_ms.append((time.perf_counter() - due) * 1000)
        self.errors += not is_good
        self.open -= 1
        if self._late:
            connection.send(self._message, due=self._late.popleft())
        else:
            self._free.append(connection)


def apply_open_load(request: Request, *, per_second: float, seconds: float) -> LoadResult:
    """Send so many requests a second on average, each at its own time; the same times in every run."""
    arrivals = _Arrivals(request)
    asyncio.run(arrivals.run(per_second=per_second, seconds=seconds))
    times = sorted(arrivals.times_ms)
    middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
    return LoadResult(len(times) / seconds, middle, late, arrivals.errors)
