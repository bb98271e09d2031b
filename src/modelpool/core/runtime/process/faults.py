"""When a model that keeps failing is given up: a count of its faults, and a reason for its callers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

FAULT_LIMIT = 5
WINDOW_S = 300.0
OPEN_S = 300.0


class Breaker:
    """Opens after ``limit`` faults (crashes, hangs, lies) within ``window_s`` seconds.

    While it is open nothing is started for the model. After ``open_s`` it lets one attempt through; the next fault
    opens it again, a good answer forgets everything. Not for several threads at once.
    """

    def __init__(
        self,
        limit: int = FAULT_LIMIT,
        *,
        window_s: float = WINDOW_S,
        open_s: float = OPEN_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window_s, self._open_s, self._now = window_s, open_s, now
        self._faults: deque[float] = deque(maxlen=limit)
        self._open_until = 0.0
        self.reason: str | None = None
        """Why it is open; ``None`` while it is closed."""

    @property
    def wait_s(self) -> float:
        """How long it stays open; 0 where an attempt may be made."""
        return 0.0 if self.reason is None else max(self._open_until - self._now(), 0.0)

    def record_fault(self, what: str) -> bool:
        """Count a fault, ``what`` as in "its process crashed"; return whether it opened the breaker just now."""
        now = self._now()
        self._faults.append(now)
        was_closed = self.reason is None
        is_enough = len(self._faults) == self._limit and now - self._faults[0] <= self._window_s
        if was_closed and not is_enough:
            return False
        self.reason = f"{self._limit} faults within {self._window_s:g} s, the last one: {what}"
        self._open_until = now + self._open_s
        return was_closed

    def record_answer(self) -> None:
        """A good answer after the pause closes it; while it is closed faults stay counted until they are old."""
        if self.reason is not None:
            self.reason = None
            self._faults.clear()
