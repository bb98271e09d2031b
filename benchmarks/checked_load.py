"""Load whose every answer is checked: many connections, each asking one model after another for a known value."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_TOLERANCE = 1e-3


@dataclass(slots=True)
class Outcome:
    """Right answers, and what was wrong with the others (the first few)."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PoolRequests:
    """The requests of models made by ``register_pool.py``, whose output ``made`` is, and the answers they must get."""

    host: str
    port: int
    made: dict[str, Any]

    @classmethod
    def at(cls, url: str, made: dict[str, Any]) -> PoolRequests:
        """Those of the server at ``url``."""
        parts = urlsplit(url)
        return cls(parts.hostname or "", parts.port or 0, made)

    def request(self, number: int) -> bytes:
        """Return the bytes to send for a model."""
        tenant = number % 2
        body = json.dumps({"instances": [self.made["row"]]}).encode()
        head = (
            f"POST /api/v1/tenants/bench-{tenant}/models/m{number}/predict HTTP/1.1\r\nHost: {self.host}\r\n"
            f"Authorization: Bearer {self.made['keys'][tenant]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def expected(self, number: int) -> float:
        """Return the value that a model must give."""
        kind = "forest" if number % 10 < self.made["forests"] else "linear"
        return float(self.made["plain"][kind] + self.made["step"] * number)


async def ask_all(requests: PoolRequests, numbers: Iterator[int], *, connections: int) -> Outcome:
    """Ask for the models in the order of ``numbers``, shared by all connections."""
    outcome = Outcome()
    await asyncio.gather(*(_keep_asking(requests, numbers, outcome) for _ in range(connections)))
    return outcome


async def _keep_asking(requests: PoolRequests, numbers: Iterator[int], outcome: Outcome) -> None:
    reader, writer = await asyncio.open_connection(requests.host, requests.port)
    for number in numbers:
        writer.write(requests.request(number))
        status, body = await _read_answer(reader)
        _check(requests, number, status, body, outcome=outcome)
    writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def _check(requests: PoolRequests, number: int, status: int, body: bytes, *, outcome: Outcome) -> None:
    answer = json.loads(body) if status == 200 else {}
    value = answer.get("predictions", [float("nan")])[0]
    if abs(value - requests.expected(number)) < _TOLERANCE * max(1.0, abs(requests.expected(number))) * 1e-3:
        outcome.right += 1
    elif len(outcome.wrong) < 10:
        outcome.wrong.append(f"model {number}: {status}, {body[:200]!r}, expected {requests.expected(number)}")


def cycling(count: int, *, total: int, pick: Callable[[int], int] = lambda step: step) -> Iterator[int]:
    """Yield ``total`` numbers of models, by default one after the other, round and round."""
    return (pick(step) % count for step in range(total))
