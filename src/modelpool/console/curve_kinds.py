"""The figures of classifiers that are drawn as curves: of one version with a line a class, or of several versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy

from modelpool.console.charts import Chart, Series
from modelpool.console.figures import Points, number, pairs


@dataclass(frozen=True, slots=True)
class CurveKind:
    """What lies along x and y, what a score of a curve is called, and a line to compare with."""

    name: str
    title: Any
    x: str
    x_title: Any
    y: str
    y_title: Any
    help: Any
    reference: Points
    reference_title: Any = ""
    score: str = ""
    score_title: str = ""

    def points(self, curve: Mapping[str, Any]) -> Points:
        """Return the points of a curve of a figure, none where it is of another shape."""
        return pairs(curve.get(self.x), curve.get(self.y))

    def scored(self, text: str, curve: Mapping[str, Any]) -> str:
        """Return ``text`` with the score of the curve, if it has one."""
        score = number(curve.get(self.score))
        return text if score is None else f"{text} ({self.score_title} {score:.3f})"

    def chart(self, series: list[Series], *, id: str, title: str, summary: str = "") -> Chart:
        """Return the curves in one chart, with the line to compare with as the last."""
        lines = list(series)
        if self.reference:
            lines.append(Series(str(self.reference_title), points=self.reference, is_muted=True))
        return Chart(
            id=id,
            title=title,
            kind="line",
            series=lines,
            x_title=str(self.x_title),
            y_title=str(self.y_title),
            y_min=0,
            y_max=1,
            x_min=0,
            x_max=1,
            summary=summary,
        )


_DIAGONAL = [(0.0, 0.0), (1.0, 1.0)]
CURVE_KINDS = (
    CurveKind(
        "roc", gettext_lazy("ROC"), "fpr", gettext_lazy("False positive rate"), "tpr",
        gettext_lazy("True positive rate"),
        gettext_lazy("The nearer to the upper left, the better the classes are told apart."),
        _DIAGONAL, gettext_lazy("by chance"), "auc", "AUC",
    ),
    CurveKind(
        "precision_recall", gettext_lazy("Precision and recall"), "recall", gettext_lazy("Recall"), "precision",
        gettext_lazy("Precision"),
        gettext_lazy("How many of those found are right, as more of the class are found."),
        [], "", "average_precision", "AP",
    ),
    CurveKind(
        "calibration", gettext_lazy("Calibration"), "predicted", gettext_lazy("Mean probability that was predicted"),
        "observed", gettext_lazy("Share that was so"),
        gettext_lazy("On the diagonal, of the rows with a probability of 0.8 eight in ten are so."),
        _DIAGONAL, gettext_lazy("perfect"),
    ),
)  # fmt: skip
