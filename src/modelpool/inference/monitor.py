"""What the prediction path tells of its work, and asks about former work; who keeps it is wired in by the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from modelpool.core.runtime.pool import Holding, PoolKey


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
