"""Keeping the memory of a web process within its part of the budget, whatever the models said that they take."""

from __future__ import annotations

import logging
import time
from typing import Any

from modelpool.core.metrics import catalogue
from modelpool.core.runtime.memory import resident_bytes
from modelpool.core.runtime.pool import ModelPool

logger = logging.getLogger(__name__)

_MEASURE_S = 30.0
_SLACK = 0.02
"""Of the budget: growth beside the models, such as caches and requests, that is nobody's."""


class PoolMeter:
    """Counts what happens in the pool; see :class:`~modelpool.core.runtime.pool.PoolObserver`.

    ``baseline`` is what the process takes when its first model is loaded: by then the libraries have made what they
    need once (15 MB, measured), which is no model's.
    """

    def __init__(self) -> None:
        self.baseline: int | None = None

    def loaded(self, *, seconds: float) -> None:
        """A model was loaded."""
        if self.baseline is None:
            self.baseline = resident_bytes()
        catalogue.POOL_LOADS.inc()
        catalogue.COLD_START_SECONDS.observe(seconds)

    def failed(self) -> None:
        """A model could not be loaded."""
        catalogue.POOL_FAILED_LOADS.inc()

    def evicted(self, *, unused_s: float) -> None:
        """A model went for want of room."""
        catalogue.POOL_EVICTIONS.inc()
        catalogue.POOL_EVICTION_AGE.observe(unused_s)

    def held(self, *, size_bytes: int, models: int) -> None:
        """What the pool holds now."""
        catalogue.POOL_BYTES.set(size_bytes)
        catalogue.POOL_MODELS.set(models)


class Upkeep:
    """Compares what the pool believes with what the process takes; :meth:`run` is called every few seconds.

    Child processes of models are measured again each half minute, for they may leak. Where this process grew by more
    than its models and a fiftieth of the budget, the pool holds as much less, but never less than half.
    """

    def __init__(self, pool: ModelPool[Any], budget_bytes: int, *, meter: PoolMeter) -> None:
        self._pool = pool
        self._meter = meter
        self._budget = budget_bytes
        self._measure_at = time.monotonic() + _MEASURE_S
        self._is_short = False
        catalogue.POOL_BUDGET_BYTES.set(budget_bytes)

    def run(self) -> None:
        """Measure, and let the pool make room where it takes more than it should."""
        if time.monotonic() >= self._measure_at:
            self._measure_at = time.monotonic() + _MEASURE_S
            self.measure_children()
        now, before = resident_bytes(), self._meter.baseline
        if now is not None and before is not None:
            self.adjust(now - before)

    def measure_children(self) -> None:
        """Look again at the memory of models in processes of their own."""
        for item in self._pool.items():
            item.measure()
        self._pool.measure()

    def adjust(self, grown: int) -> None:
        """Fit the pool's budget to what the process grew by since its first model, in bytes."""
        inline = sum(item.size_bytes for item in self._pool.items() if item.runs_inline)
        excess = max(0, grown - inline - int(_SLACK * self._budget))
        allowed = max(self._budget - excess, self._budget // 2)
        if excess and not self._is_short and self._pool.stats().held_bytes > allowed:
            self._is_short = True
            logger.warning(
                "the process takes %d MiB more than its models; they get so much less of serving.memory_budget",
                excess >> 20,
            )
        self._pool.resize(allowed)
