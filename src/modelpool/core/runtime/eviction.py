"""Which model goes when memory is short: GreedyDual-Size-Frequency with shares of tenants.

The worth of a model is ``clock + frequency × cost ÷ size`` (L. Cherkasova, "Improving WWW Proxies Performance with
Greedy-Dual-Size-Frequency Caching Policy", HP Labs HPL-98-69R1, 1998): what is cheap to load, large and seldom used
goes first; the clock, which is the worth of the last one that went, makes what is not used any more fall behind.
Frequency counts by its logarithm, so that a model that was asked a million times yesterday does not stay for weeks.

Worths are kept in heaps and looked at again only when they come to the top, so that a use costs two assignments and an
eviction O(log n), amortized: what is put back once was used at least once since.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from typing import Any, Protocol

_MIN_COST_S = 0.001
_MIN_SIZE = 4096
_KEPT_FREQUENCY = 8


class Ticket:
    """Stands for a model in the heaps, so that one that went is not held in memory by them."""

    __slots__ = ("entry",)

    def __init__(self, entry: Evictable) -> None:
        self.entry: Evictable | None = entry


class Evictable(Protocol):
    """What the order knows of a loaded model."""

    size_bytes: int
    load_s: float
    uses: int
    clock: float
    used_at: float
    kept_until: float
    ticket: Ticket | None

    @property
    def tenant_id(self) -> Any:
        """Whose it is."""

    @property
    def is_pinned(self) -> bool:
        """Whether somebody uses it now."""


_Queued = tuple[float, float, int, Ticket]  # worth, last use, a number that no two have


class EvictionOrder:
    """The models of a pool in the order in which they go; the caller holds the pool's lock.

    A tenant that holds more than ``share_bytes`` is over its share: its own models go first.
    """

    def __init__(self, share_bytes: int) -> None:
        self.share_bytes = share_bytes
        self.clock = 0.0
        self.held_by: dict[Any, int] = {}
        self._over_share: set[Any] = set()
        self._heap: list[_Queued] = []
        self._heaps: dict[Any, list[_Queued]] = {}
        self._counter = itertools.count()
        self._n_entries = self._n_gone = 0

    def add(self, entry: Evictable) -> None:
        """Take a model in."""
        entry.clock = self.clock
        entry.ticket = Ticket(entry)
        self._n_entries += 1
        self._hold(entry.tenant_id, entry.size_bytes)
        self._push(self._heap, entry)
        self._push(self._heaps.setdefault(entry.tenant_id, []), entry)

    def remove(self, entry: Evictable) -> None:
        """Take a model out; its places in the heaps are forgotten when they come to the top."""
        if entry.ticket is not None:
            entry.ticket.entry = None
            entry.ticket = None
        self._n_entries -= 1
        self._n_gone += 1
        self._hold(entry.tenant_id, -entry.size_bytes)
        self._compact()

    def resize(self, entry: Evictable, size_bytes: int) -> None:
        """Note that a model takes another size than it was said to."""
        self._hold(entry.tenant_id, size_bytes - entry.size_bytes)
        entry.size_bytes = size_bytes

    def next_to_go(self) -> Evictable | None:
        """Return the model to retire next, ``None`` where all are in use; it is still to be removed."""
        found = None
        if len(self.held_by) > 1:
            for tenant_id in sorted(self._over_share, key=lambda tenant: -self.held_by[tenant]):
                found = found or self._pop(self._heaps[tenant_id])
        found = found or self._pop(self._heap)
        if found is not None:
            self.clock = max(self.clock, _worth(found, self.clock))
        return found

    def _hold(self, tenant_id: Any, size_bytes: int) -> None:
        held = self.held_by[tenant_id] = self.held_by.get(tenant_id, 0) + size_bytes
        if held > self.share_bytes:
            self._over_share.add(tenant_id)
        else:
            self._over_share.discard(tenant_id)
        if held <= 0:
            del self.held_by[tenant_id]
            self._heaps.pop(tenant_id, None)

    def _push(self, heap: list[_Queued], entry: Evictable) -> None:
        if entry.ticket is not None:
            heapq.heappush(heap, (_worth(entry, self.clock), entry.used_at, next(self._counter), entry.ticket))

    def _pop(self, heap: list[_Queued]) -> Evictable | None:
        """Take the least worth from a heap; what is in use, or was used since it was queued, goes back."""
        pinned: list[_Queued] = []
        found: Evictable | None = None
        while heap and found is None:
            queued = heapq.heappop(heap)
            entry = queued[3].entry
            if entry is None:
                continue
            now = (_worth(entry, self.clock), entry.used_at)
            if now > queued[:2]:
                heapq.heappush(heap, (*now, *queued[2:]))
            elif entry.is_pinned:
                pinned.append(queued)
            else:
                found = entry
                pinned.append(queued)  # until it is retired it may be asked for again
        for queued in pinned:
            heapq.heappush(heap, queued)
        return found

    def _compact(self) -> None:
        """Throw out the places of what is gone, once they are the larger part."""
        if self._n_gone > self._n_entries + 64:
            self._n_gone = 0
            self._heap = _living(self._heap)
            self._heaps = {tenant: _living(heap) for tenant, heap in self._heaps.items()}


def _worth(entry: Evictable, clock: float) -> float:
    """Return the worth in seconds of loading a MiB; one that is kept counts as used just now, and often.

    Costs count by powers of two: measured times jitter, and among equals the least recently used is to go.
    """
    cost_s = 2.0 ** round(math.log2(max(entry.load_s, _MIN_COST_S)))
    since, frequency = entry.clock, max(entry.uses.bit_length(), 1)
    if entry.kept_until and entry.kept_until > time.monotonic():
        since, frequency = clock, max(frequency, _KEPT_FREQUENCY)
    return since + frequency * cost_s / (max(entry.size_bytes, _MIN_SIZE) / 2**20)


def _living(heap: list[_Queued]) -> list[_Queued]:
    living = [queued for queued in heap if queued[3].entry is not None]
    heapq.heapify(living)
    return living
