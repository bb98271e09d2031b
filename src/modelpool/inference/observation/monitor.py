"""What the prediction path tells of its work, and asks about former work; who keeps it is wired in by the server."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from modelpool.core.comparisons import Compared, Figures
from modelpool.core.errors import ModelpoolError
from modelpool.core.runtime.pool import Holding, ModelPool, PoolKey
from modelpool.inference.resolution.lookup import with_database
from modelpool.inference.resolution.principals import KeyCache, record_use

logger = logging.getLogger(__name__)

RECORD_S = 5.0
"""How often changes of what is held are written."""

SIGN_OF_LIFE_S = 60.0
"""How often a process says what it holds when nothing changes, and how often models were used."""


class Monitor(Protocol):
    """Called in background threads only. Errors of the database may pass through; the same is tried again later."""

    def record_use(self, uses: Mapping[PoolKey, int]) -> None:
        """Add to how often versions answered today."""

    def record_loaded(self, loaded: Sequence[Holding], *, budget_bytes: int) -> None:
        """Say what this process holds now; everything it said before is replaced. Also its sign of life."""

    def record_end(self) -> None:
        """Say that this process ends and holds nothing."""

    def most_used(self, *, limit: int) -> list[UUID]:
        """Return the versions used yesterday and today, the most used first."""

    def record_comparisons(self, figures: Mapping[Compared, Figures]) -> None:
        """Add to the figures of versions that answer side by side."""


class NoMonitor:
    """Keeps nothing and knows nothing."""

    def record_use(self, uses: Mapping[PoolKey, int]) -> None:
        """Forget it."""

    def record_loaded(self, loaded: Sequence[Holding], *, budget_bytes: int) -> None:
        """Forget it."""

    def record_end(self) -> None:
        """Forget it."""

    def most_used(self, *, limit: int) -> list[UUID]:
        """Return nothing."""
        return []

    def record_comparisons(self, figures: Mapping[Compared, Figures]) -> None:
        """Forget it."""


class Recorder:
    """Tells a monitor what the pool holds, on change, and each minute how often models and when keys were used.

    :meth:`run` is called every :data:`RECORD_S` by one thread. What could not be written is written the next time.
    """

    def __init__(self, monitor: Monitor, pool: ModelPool[Any], keys: KeyCache) -> None:
        self._monitor = monitor
        self._pool = pool
        self._keys = keys
        self._told: list[Holding] | None = None
        self._told_at = self._used_at = time.monotonic()
        self._uses: Counter[PoolKey] = Counter()

    def run(self) -> None:
        """Write what is due; a database that does not take it is logged, and tried again."""
        now = time.monotonic()
        try:
            self._tell(now)
            if now - self._used_at > SIGN_OF_LIFE_S:
                self._used_at = now
                self.record_uses()
        except ModelpoolError as error:
            logger.warning("what is held and used could not be written: %s", error)

    def close(self) -> None:
        """Write what is left, and that this process ends."""
        try:
            self.record_uses()
            with_database(self._monitor.record_end)()
        except ModelpoolError as error:
            logger.warning("what was used last could not be written: %s", error)

    def record_uses(self) -> None:
        """Write now how often models and when keys were used; raises what the database does not take."""
        self._uses.update(self._pool.take_uses())
        if self._uses:
            with_database(self._monitor.record_use)(self._uses)
            self._uses.clear()
        record_use(self._keys.take_used())

    def _tell(self, now: float) -> None:
        holdings = self._pool.holdings()
        if holdings == self._told and now - self._told_at < SIGN_OF_LIFE_S:
            return
        self._told = None
        with_database(self._monitor.record_loaded)(holdings, budget_bytes=self._pool.stats().budget_bytes)
        self._told, self._told_at = holdings, now
