"""Adding up how versions do side by side in this process, and handing it to the monitor every few seconds."""

from __future__ import annotations

import logging
import threading
from uuid import UUID

from modelpool.core.comparisons import Compared, Figures, count_in
from modelpool.core.errors import ModelpoolError
from modelpool.inference.observation.monitor import Monitor
from modelpool.inference.resolution.lookup import Route, with_database

logger = logging.getLogger(__name__)

_MAX_WAITING = 500_000  # answers between two times of adding up; past that they are not counted


class Comparisons:
    """Figures since the last time they were written. Recording an answer is one append."""

    def __init__(self) -> None:
        self._answered: list[tuple[Route, int, float]] = []
        self._figures: dict[Compared, Figures] = {}
        self._lock = threading.Lock()

    def answered(self, route: Route, status: int, seconds: float) -> None:
        """Record an answer of a version under a rule; by any thread."""
        if len(self._answered) < _MAX_WAITING:
            self._answered.append((route, status, seconds))

    def mirrored(self, route: Route, *, against: int, figures: Figures) -> None:
        """Record what became of copies for the shadow ``route``; by any thread."""
        with self._lock:
            self._of(route, against).add(figures)

    def take(self) -> dict[Compared, Figures]:
        """Return what there is, and begin anew."""
        answered = self._answered[:]
        del self._answered[: len(answered)]
        with self._lock:
            for route, status, seconds in answered:
                _count(self._of(route, 0), status, seconds)
            taken, self._figures = self._figures, {}
        return taken

    def flush(self, monitor: Monitor) -> None:
        """Write it; what the database does not take now is written the next time."""
        taken = self.take()
        if not taken:
            return
        try:
            with_database(monitor.record_comparisons)(taken)
        except ModelpoolError as error:
            logger.warning("figures of traffic could not be written: %s", error)
            with self._lock:
                for about, figures in taken.items():
                    self._figures.setdefault(about, Figures()).add(figures)

    def _of(self, route: Route, against: int) -> Figures:
        key = route.key
        about = Compared(key.tenant_id, key.model_id, UUID(route.rule), route.number, against)
        return self._figures.setdefault(about, Figures())


def _count(figures: Figures, status: int, seconds: float) -> None:
    figures.requests += 1
    if status >= 500:
        figures.errors += 1
    elif status >= 400:
        figures.refused += 1
    else:
        count_in(figures.latency, seconds)
