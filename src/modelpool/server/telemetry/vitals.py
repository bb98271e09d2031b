"""Signs of life of a web process as metrics: whether it is ready, how fresh its caches are, how busy it is."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from modelpool.core.metrics import catalogue

_EVERY_S = 2.0


class Feed(Protocol):
    """The change feed, as far as it is looked at here."""

    @property
    def read_at(self) -> float:
        """When it was last read, on the monotonic clock; minus infinity before that."""


class Ready(Protocol):
    """What knows why a process is not ready."""

    async def reasons(self) -> list[str]:
        """Return the reasons; none when it is ready."""


class Busy(Protocol):
    """What answers predictions."""

    under_way: int


async def report_vitals(readiness: Ready, *, feed: Feed, lane: Busy) -> None:
    """For ever set the gauges."""
    while True:
        catalogue.READY.set(float(not await readiness.reasons()))
        catalogue.FEED_READ_AT.set(max(0.0, time.time() - (time.monotonic() - feed.read_at)))
        catalogue.UNDER_WAY.set(lane.under_way)
        await asyncio.sleep(_EVERY_S)
