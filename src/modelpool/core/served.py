"""What versions were asked and how long their answers took, in a form that adds up over processes, nodes and time."""

from __future__ import annotations

import math
from bisect import bisect_left
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


def add_answers(counts: list[float], *, status: int, times: Iterable[float]) -> None:
    """Add answers of one status to the ``WIDTH`` numbers of a span; only good answers are timed."""
    times = list(times)
    counts[0] += len(times)
    if status >= 500:
        counts[2] += len(times)
    elif status >= 400:
        counts[1] += len(times)
    else:
        for seconds in times:
            counts[3 + bisect_left(BOUNDS, seconds)] += 1


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
