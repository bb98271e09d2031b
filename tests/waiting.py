"""Waiting for what happens in another thread or process, so long that a busy machine makes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_S = 0.01


def wait_until(look: Callable[[], T], what: str = "it", *, timeout_s: float = 20.0) -> T:
    """Return the first true answer of ``look``, or fail and say ``what`` did not happen."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(_PAUSE_S)
    return found
