"""How the numbers of a column are spread, from a random sample of bounded size."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

MAX_SAMPLE = 10_000
_SAMPLED_VALUES = 4_000_000
_SMALLEST_SAMPLE = 200
_BINS = 20
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles at 5, 25, 50, 75 and 95 percent, and ``counts`` of values between neighbouring ``edges``.

    Exact up to :data:`MAX_SAMPLE` values; beyond (``is_sampled``) they are those of a random sample of that many, the
    counts scaled to all values. Datetimes are seconds since 1970 UTC.
    """

    quantiles: tuple[float, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    is_sampled: bool = False


class Sample:
    """Keeps every value with the same chance: those with the smallest random numbers of all that came by."""

    def __init__(self, *, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._values = np.empty(0, dtype=np.float64)
        self._draws = np.empty(0, dtype=np.float64)
        self.seen = 0

    def add(self, values: np.ndarray[Any, Any], *, size: int) -> None:
        """Take finite numbers in, and keep ``size`` of all."""
        self.seen += values.size
        kept = np.concatenate([self._values, values.astype(np.float64)])
        draws = np.concatenate([self._draws, self._random.random(values.size)])
        if kept.size > size:
            chosen = np.argpartition(draws, size)[:size]
            kept, draws = kept[chosen], draws[chosen]
        self._values, self._draws = kept, draws

    def describe(self) -> Distribution | None:
        """Return the figures, ``None`` without any value, or with values too far apart to be counted in bins."""
        if not self._values.size:
            return None
        low, high = float(self._values.min()), float(self._values.max())
        if not np.isfinite(high - low):
            return None
        try:
            counts, edges = np.histogram(self._values, bins=_BINS if high > low else 1)
        except ValueError:  # neighbouring numbers so large that there are none between them
            counts, edges = np.array([self._values.size]), np.array([low, high])
        scale = self.seen / self._values.size
        return Distribution(
            quantiles=tuple(float(value) for value in np.quantile(self._values, _SHARES)),
            edges=tuple(float(edge) for edge in edges),
            counts=tuple(round(float(count) * scale) for count in counts),
            is_sampled=self.seen > self._values.size,
        )


def sample_size(n_columns: int) -> int:
    """Return how many values of each column are kept, so that a wide table takes no more memory than a narrow one."""
    return max(_SMALLEST_SAMPLE, min(MAX_SAMPLE, _SAMPLED_VALUES // max(n_columns, 1)))
