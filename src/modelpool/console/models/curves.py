"""The curves of several versions in one chart, where the versions have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from modelpool.console.charts import Chart, Series
from modelpool.console.curve_kinds import CURVE_KINDS, CurveKind
from modelpool.console.figures import curves_of, figure_of, importances_of, label_of, numbers
from modelpool.registry.models import ModelVersion

_FEATURES = 12


def curve_labels(versions: Sequence[ModelVersion]) -> list[str]:
    """Return the classes that any version has curves of."""
    found = (
        _label(curve) for version in versions for kind in CURVE_KINDS for curve in curves_of(version.figures, kind.name)
    )
    return list(dict.fromkeys(found))


def curve_charts(versions: Sequence[ModelVersion], *, label: str) -> list[Chart]:
    """Return the charts of one class, each with a line for every version that has the curve."""
    charts = [_chart(kind, versions, label) for kind in CURVE_KINDS]
    return [chart for chart in charts if chart is not None]


def importance_chart(versions: Sequence[ModelVersion]) -> Chart | None:
    """Return the importance of the features that matter most to any version, ``None`` where nobody knows it."""
    known = [(version, importances_of(version.figures)) for version in versions]
    known = [(version, found) for version, found in known if found]
    if not known:
        return None
    strongest = {name: max(abs(found.get(name, 0.0)) for _version, found in known) for _v, f in known for name in f}
    names = sorted(strongest, key=lambda name: -strongest[name])[:_FEATURES]
    return Chart(
        id="compared-importance",
        title=_("Feature importance"),
        kind="horizontal-bar",
        labels=names,
        series=[Series(f"v{version.number}", values=[found.get(name) for name in names]) for version, found in known],
        x_title=_("Feature"),
        y_title=_("Importance"),
    )


def residuals_chart(versions: Sequence[ModelVersion]) -> Chart | None:
    """Return how far off the versions are, as the share of rows over the error, ``None`` where nobody knows it."""
    series = [Series(f"v{version.number}", points=points) for version in versions if (points := _residuals(version))]
    if not series:
        return None
    return Chart(
        id="compared-residuals",
        title=_("Residuals: the truth less the prediction"),
        kind="line",
        series=series,
        x_title=_("Residual"),
        y_title=_("Share of rows"),
        y_min=0,
    )


def _chart(kind: CurveKind, versions: Sequence[ModelVersion], label: str) -> Chart | None:
    series = []
    for version in versions:
        curve = next((one for one in curves_of(version.figures, kind.name) if _label(one) == label), None)
        points = kind.points(curve) if curve else []
        if curve and points:
            series.append(Series(kind.scored(f"v{version.number}", curve), points=points))
    if not series:
        return None
    title = _("%(title)s of class %(label)s") % {"title": kind.title, "label": label}
    return kind.chart(series, id=f"compared-{kind.name.replace('_', '-')}", title=title)


def _label(curve: Mapping[str, Any]) -> str:
    return label_of(curve.get("label", ""))


def _residuals(version: ModelVersion) -> list[tuple[float, float]]:
    """Return the middles of a histogram's bins, each with its share of the rows."""
    figure = figure_of(version.figures, "residuals")
    edges, counts = numbers(figure.get("edges")), numbers(figure.get("counts"))
    if len(edges) != len(counts) + 1 or not sum(counts):
        return []
    return [((edges[at] + edges[at + 1]) / 2, count / sum(counts)) for at, count in enumerate(counts)]
