"""Figures of versions that answer side by side, in a form that adds up over processes, nodes and hours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

_LEAST_S = 50e-6
_PER_DOUBLING = 4
_BUCKETS = 80  # the last begins at 45 s

Buckets = dict[int, int]
"""How many calls took about as long: the number of the bucket, see :func:`bucket_of`, to a count."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What figures are about: a version within one experiment; as the shadow of ``against``, or, where 0, answering."""

    tenant_id: UUID
    model_id: UUID
    rule: UUID
    version: int
    against: int = 0


@dataclass(slots=True)
class Figures:
    """Sums. ``rows`` were compared, of which ``differing`` had another answer; differences are those of ``values``.

    ``refused`` are requests that did not fit the version, ``errors`` those that it failed for; ``dropped`` copies were
    never run. ``main_latency`` is that of the answers which a shadow's were compared with.
    """

    requests: int = 0
    refused: int = 0
    errors: int = 0
    dropped: int = 0
    rows: int = 0
    differing: int = 0
    values: int = 0
    difference_sum: float = 0.0
    difference_max: float = 0.0
    latency: Buckets = field(default_factory=dict)
    main_latency: Buckets = field(default_factory=dict)

    def add(self, other: Figures) -> None:
        """Add another's figures to these."""
        for name in ("requests", "refused", "errors", "dropped", "rows", "differing", "values", "difference_sum"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.difference_max = max(self.difference_max, other.difference_max)
        add_buckets(self.latency, other.latency)
        add_buckets(self.main_latency, other.main_latency)


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket; each reaches a fifth further than the one before."""
    if seconds <= _LEAST_S:
        return 0
    return min(_BUCKETS - 1, 1 + int(_PER_DOUBLING * math.log2(seconds / _LEAST_S)))


def count_in(buckets: Buckets, seconds: float) -> None:
    """Count one call."""
    bucket = bucket_of(seconds)
    buckets[bucket] = buckets.get(bucket, 0) + 1


def add_buckets(buckets: Buckets, more: Mapping[int, int]) -> None:
    """Add counts to ``buckets``."""
    for bucket, count in more.items():
        buckets[bucket] = buckets.get(bucket, 0) + count


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the seconds that ``share`` of the calls took at most, to about a fifth; ``None`` without calls."""
    total = sum(buckets.values())
    if not total:
        return None
    wanted, seen = share * total, 0.0
    for bucket in sorted(buckets):
        count = buckets[bucket]
        if seen + count >= wanted:
            within = (wanted - seen) / count
            return _LEAST_S * math.exp2((bucket - 1 + within) / _PER_DOUBLING)
        seen += count
    raise AssertionError("the counts add up to their total")
