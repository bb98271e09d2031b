"""Answers of the database that are kept until the change feed says otherwise."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from modelpool.core.errors import ModelpoolError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class FeedCache(Generic[K, V]):
    """A bounded mapping, filled on a miss and invalidated by the change feed.

    A refusal (any error of our tree that ``remembers`` names) is kept for ``refusal_ttl_s`` and at most until the next
    change. What was read before a change and arrives after it is not kept: every invalidation begins a new generation.
    Both sides hold at most ``max_entries``; the oldest goes first. Reading takes no lock.
    """

    def __init__(self, *, max_entries: int, refusal_ttl_s: float, remembers: tuple[type[ModelpoolError], ...]) -> None:
        self._max_entries = max_entries
        self._refusal_ttl_s = refusal_ttl_s
        self._remembers = remembers
        self._refusals: dict[K, tuple[float, ModelpoolError]] = {}
        self._generation = 0
        self._lock = threading.Lock()
        self.entries: dict[K, V] = {}

    def raise_refusal(self, key: K) -> None:
        """Raise again what this key was refused with a moment ago."""
        until, error = self._refusals.get(key, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise error.with_traceback(None)

    def fill(self, key: K, read: Callable[[K], V]) -> V:
        """Return what ``read`` gives, and keep it; an error passes through."""
        generation = self._generation
        try:
            value = read(key)
        except self._remembers as error:
            with self._lock:
                if generation == self._generation:
                    _make_room(self._refusals, self._max_entries)
                    self._refusals[key] = (time.monotonic() + self._refusal_ttl_s, error.with_traceback(None))
            raise
        with self._lock:
            if generation == self._generation:
                _make_room(self.entries, self._max_entries)
                self.entries[key] = value
        return value

    def fill_all(self, read: Callable[[], dict[K, V]]) -> None:
        """Keep all that ``read`` gives, beside what is there already; an error passes through."""
        generation = self._generation
        values = read()
        with self._lock:
            for key, value in values.items() if generation == self._generation else ():
                _make_room(self.entries, self._max_entries)
                self.entries.setdefault(key, value)

    def invalidate(self, matches: Callable[[K, V], bool] | None = None) -> None:
        """Begin a new generation: forget all refusals, and the entries that match; by default all."""
        with self._lock:
            self._generation += 1
            self._refusals.clear()
            gone = [key for key, value in self.entries.items() if matches is None or matches(key, value)]
            for key in gone:
                del self.entries[key]

    def replace(self, key: K, *, old: V, new: V) -> None:
        """Put ``new`` in the place of ``old``, unless that has gone, or another one is there by now."""
        with self._lock:
            if self.entries.get(key) is old:
                self.entries[key] = new

    def refusal_count(self) -> int:
        """How many refusals are kept."""
        return len(self._refusals)


def _make_room(entries: dict[K, Any], limit: int) -> None:
    while len(entries) >= limit:
        del entries[next(iter(entries))]
