"""Reading the figures that a version was stored with.

Modelpool's own trainers write them as the pages draw them; what a trainer of someone's own has put there, or an upload,
may be anything: what is not of the shape that is looked for is as good as not there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

Points = list[tuple[float, float]]
_MOST_NUMBERS = 1000
MOST_POINTS = 500
"""More points of a curve tell the eye nothing."""


def figure_of(figures: Any, name: str) -> Mapping[str, Any]:
    """Return the figure of that name, an empty one where there is none."""
    figure = figures.get(name) if isinstance(figures, Mapping) else None
    return figure if isinstance(figure, Mapping) else {}


def curves_of(figures: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the curves of a figure, each with a ``label`` and lists of numbers."""
    curves = figure_of(figures, name).get("curves")
    return [curve for curve in curves if isinstance(curve, Mapping)] if isinstance(curves, list) else []


def label_of(value: Any) -> str:
    """Return the text of a class: truth values as they stand on the wire."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(value: Any) -> float | None:
    """Return a finite number, ``None`` for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) <= sys.float_info.max else None  # there are integers beyond any float


def numbers(values: Any) -> list[float]:
    """Return a list of finite numbers, empty where one is none, or where there are more than anybody looks at."""
    is_list = isinstance(values, list) and len(values) <= _MOST_NUMBERS
    found = [number(value) for value in values] if is_list else []
    return [] if None in found else [value for value in found if value is not None]


def pairs(xs: Any, ys: Any) -> Points:
    """Return the points of two lists, those left out that lack a number; of many :data:`MOST_POINTS`, both ends too."""
    if not isinstance(xs, list) or not isinstance(ys, list):
        return []
    both = ((number(x), number(y)) for x, y in zip(xs, ys, strict=False))
    found = [(x, y) for x, y in both if x is not None and y is not None]
    if len(found) <= MOST_POINTS:
        return found
    return [found[round(at * (len(found) - 1) / (MOST_POINTS - 1))] for at in range(MOST_POINTS)]


def importances_of(figures: Any) -> dict[str, float]:
    """Return the importance of each feature, in the order of the figure."""
    figure = figure_of(figures, "feature_importance")
    names, values = figure.get("features"), figure.get("importances")
    if not isinstance(names, list) or not isinstance(values, list):
        return {}
    found = ((str(name), number(value)) for name, value in zip(names, values, strict=False))
    return {name: value for name, value in found if value is not None}
