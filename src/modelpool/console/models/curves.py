"""The curves of several versions in one chart, where the versions have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.charts import Chart, Series
from modelpool.console.figures import curves_of, figure_of, importances_of, label_of, number, numbers, pairs
from modelpool.registry.models import ModelVersion

_FEATURES = 12


@dataclass(frozen=True, slots=True)
class Kind:
    """A figure with curves: what lies along x and y, and the line of a model that knows nothing or everything."""

    title: Any
    x: str
    x_title: Any
    y: str
    y_title: Any
    reference: tuple[tuple[float, float], ...]
    score: str = ""


_KINDS = {
    "roc": Kind(
        gettext_lazy("ROC"), "fpr", gettext_lazy("False positive rate"), "tpr", gettext_lazy("True positive rate"),
        ((0, 0), (1, 1)), "auc",
    ),
    "precision_recall": Kind(
        gettext_lazy("Precision and recall"), "recall", gettext_lazy("Recall"), "precision", gettext_lazy("Precision"),
        (), "average_precision",
    ),
    "calibration": Kind(
        gettext_lazy("Calibration"), "predicted", gettext_lazy("Mean probability that was predicted"), "observed",
        gettext_lazy("Share that was so"), ((0, 0), (1, 1)),
    ),
}  # fmt: skip


def curve_labels(versions: Sequence[ModelVersion]) -> list[str]:
    """Return the classes that any version has curves of."""
    found = (_label(curve) for version in versions for name in _KINDS for curve in curves_of(version.figures, name))
    return list(dict.fromkeys(found))


def curve_charts(versions: Sequence[ModelVersion], *, label: str) -> list[Chart]:
    """Return the charts of one class, each with a line for every version that has the curve."""
    charts = [_chart(name, kind, versions, label) for name, kind in _KINDS.items()]
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


def _chart(name: str, kind: Kind, versions: Sequence[ModelVersion], label: str) -> Chart | None:
    series = []
    for version in versions:
        curve = next((one for one in curves_of(version.figures, name) if _label(one) == label), None)
        points = [] if curve is None else pairs(curve.get(kind.x), curve.get(kind.y))
        if curve is not None and points:
            score = number(curve.get(kind.score))
            said = "" if score is None else f" ({score:.4f})"
            series.append(Series(f"v{version.number}{said}", points=points))
    if not series:
        return None
    if kind.reference:
        series.append(Series(_("reference"), points=kind.reference, is_muted=True))
    return Chart(
        id=f"compared-{name.replace('_', '-')}",
        title=_("%(title)s of class %(label)s") % {"title": kind.title, "label": label},
        kind="line",
        series=series,
        x_title=str(kind.x_title),
        y_title=str(kind.y_title),
        y_min=0,
        y_max=1,
    )


def _label(curve: Mapping[str, Any]) -> str:
    return label_of(curve.get("label", ""))


def _residuals(version: ModelVersion) -> list[tuple[float, float]]:
    """Return the middles of a histogram's bins, each with its share of the rows."""
    figure = figure_of(version.figures, "residuals")
    edges, counts = numbers(figure.get("edges")), numbers(figure.get("counts"))
    if len(edges) != len(counts) + 1 or not sum(counts):
        return []
    return [((edges[at] + edges[at + 1]) / 2, count / sum(counts)) for at, count in enumerate(counts)]
