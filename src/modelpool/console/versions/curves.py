"""The curves of one version: a line for each class, the most frequent first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.charts import Chart, Series
from modelpool.console.curve_kinds import CURVE_KINDS, CurveKind
from modelpool.console.figures import Points, curves_of, figure_of, importances_of, label_of, numbers, pairs

MOST_CURVES = 6
"""As many as there are colours that can be told apart."""
_FEATURES = 20


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart, and a sentence about how to read it."""

    chart: Chart
    help: str = ""


def curve_drawings(figures: Any) -> list[Drawing]:
    """Return ROC, precision and recall, and calibration, as far as the version has them."""
    found = ((kind, _curves(figures, kind)) for kind in CURVE_KINDS)
    return [Drawing(_chart(kind, curves), _help(kind, figures)) for kind, curves in found if curves]


def importance_drawing(figures: Any) -> Drawing | None:
    """Return the features that matter most, ``None`` where nobody knows."""
    known = sorted(importances_of(figures).items(), key=lambda pair: -abs(pair[1]))
    if not known:
        return None
    method = figure_of(figures, "feature_importance").get("method")
    chart = Chart(
        id="importance",
        title=_("Feature importance"),
        kind="horizontal-bar",
        labels=[name for name, _value in known[:_FEATURES]],
        series=[Series(_("importance"), values=[value for _name, value in known[:_FEATURES]])],
        x_title=_("Feature"),
        y_title=_("Share of all importance"),
        summary=_("The most important feature is %(name)s.") % {"name": known[0][0]},
    )
    said = str(_METHODS.get(str(method), ""))
    if len(known) > _FEATURES:
        said += " " + _("The first %(shown)d of %(all)d features.") % {"shown": _FEATURES, "all": len(known)}
    return Drawing(chart, said.strip())


def regression_drawings(figures: Any) -> list[Drawing]:
    """Return predictions against what was so, the errors along the predictions, and their histogram."""
    found = figure_of(figures, "predicted_vs_actual")
    points = pairs(found.get("actual"), found.get("predicted"))
    residuals = figure_of(figures, "residuals")
    drawings = [_against(points), _along(points)] if points else []
    histogram = _histogram(numbers(residuals.get("edges")), numbers(residuals.get("counts")))
    return [*drawings, histogram] if histogram else drawings


_METHODS = {
    "impurity": gettext_lazy("Measured by how much the trees' splits on it tell the rows apart."),
    "coefficient": gettext_lazy("Measured by the size of its coefficients, on columns brought to one scale."),
    "permutation": gettext_lazy("Measured by how much worse the model is when the column is shuffled."),
}


def _curves(figures: Any, kind: CurveKind) -> list[tuple[Mapping[str, Any], Points]]:
    frequent = _rows_by_class(figures)
    curves = [(curve, kind.points(curve)) for curve in curves_of(figures, kind.name)]
    drawn = [(curve, points) for curve, points in curves if points]
    return sorted(drawn, key=lambda one: -frequent.get(label_of(one[0].get("label")), 0))[:MOST_CURVES]


def _rows_by_class(figures: Any) -> dict[str, float]:
    figure = figure_of(figures, "confusion_matrix")
    labels, matrix = figure.get("labels"), figure.get("matrix")
    if not isinstance(labels, list) or not isinstance(matrix, list):
        return {}
    return {label_of(label): sum(numbers(row)) for label, row in zip(labels, matrix, strict=False)}


def _chart(kind: CurveKind, curves: Sequence[tuple[Mapping[str, Any], Points]]) -> Chart:
    series = [Series(kind.scored(label_of(curve.get("label", "")), curve), points=points) for curve, points in curves]
    summary = f"{kind.title}: " + ", ".join(one.name for one in series)
    return kind.chart(series, id=kind.name.replace("_", "-"), title=str(kind.title), summary=summary)


def _help(kind: CurveKind, figures: Any) -> str:
    n_curves = len(curves_of(figures, kind.name))
    if n_curves <= MOST_CURVES:
        return str(kind.help)
    return f"{kind.help} " + _("Of the %(shown)d most frequent classes of %(all)d, each against the others.") % {
        "shown": MOST_CURVES,
        "all": n_curves,
    }


def _against(points: Points) -> Drawing:
    low = min(min(point) for point in points)
    high = max(max(point) for point in points)
    chart = Chart(
        id="predicted-actual",
        title=_("Predicted and actual"),
        kind="scatter",
        series=[
            Series(_("row held out"), points=points),
            Series(_("perfect"), points=[(low, low), (high, high)], is_muted=True),
        ],
        x_title=_("Actual"),
        y_title=_("Predicted"),
    )
    return Drawing(chart, _("The nearer to the line, the better; %(count)d rows.") % {"count": len(points)})


def _along(points: Points) -> Drawing:
    errors = [(predicted, actual - predicted) for actual, predicted in points]
    ends = min(x for x, _y in errors), max(x for x, _y in errors)
    chart = Chart(
        id="residuals-predicted",
        title=_("Residuals along predictions"),
        kind="scatter",
        series=[
            Series(_("row held out"), points=errors),
            Series(_("no error"), points=[(ends[0], 0.0), (ends[1], 0.0)], is_muted=True),
        ],
        x_title=_("Predicted"),
        y_title=_("Actual minus predicted"),
    )
    return Drawing(chart, _("A bend or a funnel says that something is not learnt yet."))


def _histogram(edges: list[float], counts: list[float]) -> Drawing | None:
    if len(edges) < 2 or len(edges) != len(counts) + 1:
        return None
    labels = [f"{low:.4g} … {high:.4g}" for low, high in pairwise(edges)]
    chart = Chart(
        id="residuals",
        title=_("Residuals"),
        kind="bar",
        labels=labels,
        series=[Series(_("rows"), values=counts)],
        x_title=_("Actual minus predicted"),
        y_title=_("Rows"),
    )
    return Drawing(chart, _("How often the model errs by how much."))
