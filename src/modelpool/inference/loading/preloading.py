"""Loading models before the first request asks for them: a few at a time, within the budget, and not for ever."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from modelpool.core.errors import ModelpoolError
from modelpool.core.runtime.pool import ModelPool
from modelpool.inference.observation.monitor import Monitor
from modelpool.inference.resolution.lookup import RouteKey, find_active, find_versions, with_database

logger = logging.getLogger(__name__)

THREADS = 4
"""How many are loaded at the same time."""

_SHARE = 0.8  # of the budget that preloading fills
_MAX_RECENT = 10_000


def find_wanted(preload: tuple[str, ...] | str, monitor: Monitor) -> list[RouteKey]:
    """Return what ``serving.preload`` says: the named models, the ``active`` versions, or those in use ``recent``ly."""
    if preload == "recent":
        return find_versions(with_database(monitor.most_used)(limit=_MAX_RECENT))
    return find_active(None if isinstance(preload, str) else preload)


def is_full_enough(pool: ModelPool[Any]) -> bool:
    """Say whether the rest of the budget is left to the models that are asked for."""
    stats = pool.stats()
    return stats.held_bytes > _SHARE * stats.budget_bytes


class Preloading:
    """Calls ``before``; then loads what ``find`` names by ``load``, in threads, until ``is_full`` says it is enough.

    ``is_done`` is true when all is loaded or tried, and at the latest after ``deadline_s``: a process that could not
    load some of its models in that time is better than none; the rest goes on loading behind the requests.
    """

    def __init__(
        self,
        find: Callable[[], Iterable[RouteKey]],
        load: Callable[[RouteKey], None],
        *,
        is_full: Callable[[], bool],
        deadline_s: float,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._before = before
        self._find = find
        self._load = load
        self._is_full = is_full
        self._deadline_s = deadline_s
        self._ready_at = float("inf")
        self._stop = threading.Event()
        self._finished = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="modelpool-preload", daemon=True)

    @property
    def is_done(self) -> bool:
        """Whether the process need not wait any longer."""
        return self._finished.is_set() or time.monotonic() > self._ready_at

    def start(self) -> None:
        """Begin, in the background."""
        self._ready_at = time.monotonic() + self._deadline_s
        self._thread.start()

    def stop(self) -> None:
        """Begin no other load, and wait for those under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        try:
            self._before()
            keys = iter(list(self._find()))
            threads = [threading.Thread(target=self._work, args=(keys,), daemon=True) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except ModelpoolError as error:
            logger.warning("preloading ended early: %s", error)
        finally:
            self._finished.set()
            if time.monotonic() > self._ready_at:
                logger.warning("preloading took %.0f s, longer than serving.preload_deadline", time.monotonic() - began)

    def _work(self, keys: Iterator[RouteKey]) -> None:
        while not self._stop.is_set() and not self._is_full():
            with self._lock:
                key = next(keys, None)
            if key is None:
                return
            try:
                self._load(key)
            except ModelpoolError as error:
                logger.warning("%s/%s cannot be preloaded: %s", key[0], key[1], error)
            except Exception:  # the edge of a thread; one model that cannot be loaded must not keep the others out
                logger.exception("%s/%s cannot be preloaded", key[0], key[1])
