"""Figures of other names than Modelpool's own: drawn where they say how, shown as data where not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelpool.console.charts import Chart, Series
from modelpool.console.figures import figure_of, label_of, number, pairs

KNOWN = frozenset(
    {
        "confusion_matrix",
        "roc",
        "precision_recall",
        "calibration",
        "feature_importance",
        "predicted_vs_actual",
        "residuals",
    }
)
"""Figures that have a place of their own on the page."""
_MOST_FIGURES = 50
_MOST_LABELS = 500
_MOST_SERIES = 6
_MOST_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Logged:
    """One figure: a chart, or its data as text."""

    name: str
    chart: Chart | None = None
    text: str = ""


def logged_figures(figures: Any) -> list[Logged]:
    """Return what a trainer logged beside the figures of :data:`KNOWN`; of those what cannot be drawn, as data."""
    if not isinstance(figures, Mapping):
        return []
    others = [name for name in sorted(figures) if name not in KNOWN][:_MOST_FIGURES]
    return [_logged(name, figures, position) for position, name in enumerate(others)]


def _logged(name: str, figures: Mapping[str, Any], position: int) -> Logged:
    chart = _chart(name, figure_of(figures, name), chart_id=f"logged-{position}")
    if chart is not None:
        return Logged(name, chart)
    text = json.dumps(figures[name], indent=2, ensure_ascii=False)
    return Logged(name, text=text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]} …")


def _chart(name: str, figure: Mapping[str, Any], *, chart_id: str) -> Chart | None:
    kind = figure.get("kind")
    if kind not in ("line", "scatter", "bar"):
        return None
    parts = figure.get("series")
    parts = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else [figure]
    words: dict[str, Any] = {
        "id": chart_id,
        "title": str(figure.get("title") or name),
        "x_title": str(figure.get("x_title") or ""),
        "y_title": str(figure.get("y_title") or ""),
    }
    if kind == "bar" or not all(_is_numeric(part.get("x")) for part in parts):
        return _with_labels("bar" if kind == "bar" else "line", parts, words)
    series = [Series(_name(part, name), points=pairs(part.get("x"), part.get("y"))) for part in parts]
    series = [one for one in series if one.points][:_MOST_SERIES]
    return Chart(kind="scatter" if kind == "scatter" else "line", series=series, **words) if series else None


def _with_labels(kind: Any, parts: list[Mapping[str, Any]], words: dict[str, Any]) -> Chart | None:
    """Texts along x: those of the first series; the others have their values in the same order."""
    labels = parts[0].get("x") if parts else None
    if not isinstance(labels, list) or not labels:
        return None
    series = [Series(_name(part, words["title"]), values=_values(part.get("y"))) for part in parts]
    series = [one for one in series if any(value is not None for value in one.values)][:_MOST_SERIES]
    return (
        Chart(kind=kind, labels=[label_of(x) for x in labels[:_MOST_LABELS]], series=series, **words)
        if series
        else None
    )


def _values(values: Any) -> list[float | None]:
    return [number(value) for value in values[:_MOST_LABELS]] if isinstance(values, list) else []


def _name(part: Mapping[str, Any], fallback: str) -> str:
    return str(part.get("name") or fallback)


def _is_numeric(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(number(value) is not None for value in values)
