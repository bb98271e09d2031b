"""What versions were asked and how long their answers took, in a form that adds up over processes, nodes and time."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

MINUTE, HOUR = 60, 3600

BOUNDS: tuple[float, ...] = tuple(0.00025 * 2**at for at in range(17))
"""Upper bounds of the times of answers in seconds: a quarter of a millisecond, doubled up to 16 seconds."""

N_TIMES = len(BOUNDS) + 1
"""How many ranges of times there are; the last has no bound."""

WIDTH = 3 + N_TIMES
"""Numbers that are kept of each: requests, refused (4xx), errors (5xx), and answers by how long they took."""


class Span(NamedTuple):
    """A version in one minute or hour: ``start`` in seconds since 1970, ``seconds`` is how long it lasts."""

    tenant_id: UUID
    model_id: UUID
    version: int
    seconds: int
    start: int

    @property
    def end(self) -> int:
        """When it is over."""
        return self.start + self.seconds


def counted(status: int, times: Iterable[float]) -> list[float]:
    """Return the ``WIDTH`` numbers of answers of one status; only good answers are timed.

    Thousands of them are sorted rather than looked at one by one, which would keep other threads waiting.
    """
    ordered = sorted(times)
    n, counts = len(ordered), [0.0] * WIDTH
    counts[0] = n
    if status >= 400:
        counts[2 if status >= 500 else 1] = n
        return counts
    below = 0
    for at, bound in enumerate(BOUNDS, start=3):
        up_to = bisect_right(ordered, bound)
        counts[at] = up_to - below
        below = up_to
    counts[-1] = n - below
    return counts


def quantile(by_time: Sequence[int], share: float) -> float | None:
    """Return the seconds that ``share`` of the answers took at most, as near as the ranges tell; ``None`` without any.

    Within a range times are taken to lie evenly on a logarithmic scale.
    """
    total = sum(by_time)
    if not total:
        return None
    wanted, seen = share * total, 0
    for at, count in enumerate(by_time):
        if count and seen + count >= wanted:
            return float(BOUNDS[0] * math.exp2(at - 1 + (wanted - seen) / count))
        seen += count
    raise AssertionError("the counts add up to their total")
