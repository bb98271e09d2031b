"""Columns of a dataset, with the picture of how their values are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelpool.training.models import Dataset

_MOST = 200
_HEIGHT = 28
_TOP = 3


@dataclass(frozen=True, slots=True)
class Described:
    """A column as it is shown; ``bars`` is the path of its histogram, in a picture of 100 by 28."""

    facts: Mapping[str, Any]
    bars: str
    title: str
    missing_share: float

    @property
    def top(self) -> list[tuple[str, int]]:
        """The most frequent values with their counts."""
        return [(str(value), int(count)) for value, count in (self.facts.get("top") or ())[:_TOP]]

    @property
    def figures(self) -> list[str]:
        """The least, mean and most, as people read them; dashes where the column has none."""
        return [_short(self.facts.get(name)) for name in ("min", "mean", "max")]


def described(dataset: Dataset) -> list[Described]:
    """Return the first columns of the table; none while no worker has read it."""
    return [_describe(column, n_rows=dataset.n_rows or 0) for column in (dataset.columns or [])[:_MOST]]


def _describe(facts: Mapping[str, Any], *, n_rows: int) -> Described:
    spread = facts.get("distribution")
    counts = spread["counts"] if spread else [count for _, count in facts.get("top") or ()]
    missing_share = int(facts.get("missing") or 0) / n_rows if n_rows else 0.0
    if not counts:
        return Described(facts, "", "", missing_share)
    title = f"5 %, 25 %, 50 %, 75 %, 95 %: {', '.join(f'{q:.6g}' for q in spread['quantiles'])}" if spread else ""
    return Described(facts, _bars(counts), title, missing_share)


def _bars(counts: Sequence[float]) -> str:
    width, most = 100.0 / len(counts), max(counts) or 1
    return "".join(
        f"M{at * width:.2f} {_HEIGHT}v{-_HEIGHT * count / most:.2f}h{width * 0.9:.2f}V{_HEIGHT}z"
        for at, count in enumerate(counts)
    )


def _short(value: Any) -> str:
    """Write a number with six digits, and a moment without seconds, or as a day where it is midnight."""
    if isinstance(value, str):
        return value[:10] if value[10:19] == "T00:00:00" else value[:16].replace("T", " ")
    return f"{value:,.6g}" if isinstance(value, int | float) else "–"
