"""An event loop whose clock is a number: waiting takes no time, and runs are the same each time."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

_TURN_S = 0.000002  # of the loop itself


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += max(timeout or 0.0, _TURN_S)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time jumps to the next timer."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now
