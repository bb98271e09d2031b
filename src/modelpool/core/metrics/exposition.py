"""The text form of Prometheus, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelpool.core.metrics.families import REGISTRY, Family
from modelpool.core.metrics.merging import Labels, Merged

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def render(merged: Merged, *, without: frozenset[str] = frozenset()) -> bytes:
    """Return the page; labels in ``without`` are summed away.

    A counter or histogram without labels begins at zero, so that an alert sees its first increase. Any other family
    that was never used is not there.
    """
    lines: list[str] = []
    for name, family in REGISTRY.items():
        series = merged.get(name) or _zero(family)
        if series:
            lines += (f"# HELP {name} {family.text}", f"# TYPE {name} {family.kind}")
            lines += _lines_of(family, series, without)
    return ("\n".join(lines) + "\n").encode()


def _zero(family: Family) -> dict[Labels, list[float]]:
    if family.label_names or family.kind == "gauge":
        return {}
    return {(): [0.0] * family.width}


def _lines_of(family: Family, series: dict[Labels, list[float]], without: frozenset[str]) -> Iterator[str]:
    kept = [at for at, name in enumerate(family.label_names) if name not in without]
    if len(kept) < len(family.label_names):
        series = _summed(series, kept)
    names = [family.label_names[at] for at in kept]
    for labels, values in sorted(series.items()):
        pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, labels, strict=True))
        if family.kind == "histogram":
            yield from _histogram_lines(family, pairs, values)
        else:
            yield f"{family.name}{{{pairs}}} {values[0]!r}" if pairs else f"{family.name} {values[0]!r}"


def _histogram_lines(family: Family, pairs: str, values: Sequence[float]) -> Iterator[str]:
    before, count = f"{pairs}," if pairs else "", 0
    for bound, value in zip((*family.buckets, "+Inf"), values[1:], strict=True):
        count += int(value)
        yield f'{family.name}_bucket{{{before}le="{bound}"}} {count}'
    braces = f"{{{pairs}}}" if pairs else ""
    yield f"{family.name}_count{braces} {count}"
    yield f"{family.name}_sum{braces} {values[0]!r}"


def _summed(series: dict[Labels, list[float]], kept: Sequence[int]) -> dict[Labels, list[float]]:
    totals: dict[Labels, list[float]] = {}
    for labels, values in series.items():
        key = tuple(labels[at] for at in kept)
        before = totals.get(key)
        totals[key] = values if before is None else [a + b for a, b in zip(before, values, strict=True)]
    return totals
