"""The confusion matrix as a heat table, and what follows from it for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from modelpool.console.figures import curves_of, figure_of, label_of, number

MOST_CLASSES = 15
"""More in one table are not read; the rest is summed up."""
LEVELS = 8
"""Shades of the heat table, besides none: ``mp-heat-1`` to ``mp-heat-8`` in ``versions.css``."""
_MOST_STORED = 200

Counts = list[list[int]]


@dataclass(frozen=True, slots=True)
class Cell:
    """How many rows of one class were taken for another, which share of its class, and how dark that is."""

    count: int
    share: float
    level: int
    is_right: bool


@dataclass(frozen=True, slots=True)
class Row:
    """The rows of one class by what was predicted for them."""

    label: str
    cells: list[Cell]
    total: int


@dataclass(frozen=True, slots=True)
class ClassLine:
    """How well one class is told apart; ``None`` where it cannot be said."""

    label: str
    rows: int
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    average_precision: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """The table; ``n_summed`` classes are in its last line, ``others``."""

    labels: list[str]
    rows: list[Row]
    classes: list[ClassLine]
    total: int
    right: int
    n_summed: int
    """How many classes the last line and column add up; what is confused among them stands in its last cell too."""

    @property
    def share(self) -> float:
        """Which share of all rows is right."""
        return self.right / self.total if self.total else 0.0


def confusion_of(figures: Any) -> Confusion | None:
    """Return the matrix of a version, ``None`` where it has none that can be read."""
    figure = figure_of(figures, "confusion_matrix")
    labels, counts = _labels(figure), _counts(figure)
    if not labels or len(labels) != len(counts) or any(len(row) != len(labels) for row in counts):
        return None
    shown, summed = _merged(labels, counts)
    rows = [_row(label, row, at) for at, (label, row) in enumerate(zip(shown, summed, strict=True))]
    return Confusion(
        labels=shown,
        rows=rows,
        classes=_classes(labels, counts, figures),
        total=sum(map(sum, counts)),
        right=sum(row[at] for at, row in enumerate(counts)),
        n_summed=0 if len(shown) == len(labels) else len(labels) - len(shown) + 1,
    )


def _labels(figure: Mapping[str, Any]) -> list[str]:
    labels = figure.get("labels")
    return [label_of(label) for label in labels] if isinstance(labels, list) and len(labels) <= _MOST_STORED else []


def _counts(figure: Mapping[str, Any]) -> Counts:
    matrix = figure.get("matrix")
    if not isinstance(matrix, list) or not all(isinstance(row, list) for row in matrix):
        return []
    values = [[number(value) for value in row] for row in matrix]
    if any(value is None or value < 0 for row in values for value in row):
        return []
    return [[int(value or 0) for value in row] for row in values]


def _merged(labels: Sequence[str], counts: Counts) -> tuple[list[str], Counts]:
    """Keep the classes with most rows, in their order, and add up the others in a last one."""
    if len(labels) <= MOST_CLASSES:
        return list(labels), counts
    by_rows = sorted(range(len(labels)), key=lambda at: -sum(counts[at]))
    kept = sorted(by_rows[: MOST_CLASSES - 1])
    rest = sorted(by_rows[MOST_CLASSES - 1 :])
    groups = [[at] for at in kept] + [rest]
    merged = [[sum(counts[i][j] for i in group for j in other) for other in groups] for group in groups]
    return [*(labels[at] for at in kept), _("%(count)d others") % {"count": len(rest)}], merged


def _row(label: str, counts: Sequence[int], at: int) -> Row:
    total = sum(counts)
    cells = [
        Cell(count, count / total if total else 0.0, _level(count, total), column == at)
        for column, count in enumerate(counts)
    ]
    return Row(label, cells, total)


def _level(count: int, total: int) -> int:
    """The smallest share that is not none can be seen."""
    return max(1, round(LEVELS * count / total)) if count else 0


def _classes(labels: Sequence[str], counts: Counts, figures: Any) -> list[ClassLine]:
    areas = {label_of(curve.get("label")): number(curve.get("auc")) for curve in curves_of(figures, "roc")}
    averages = {
        label_of(curve.get("label")): number(curve.get("average_precision"))
        for curve in curves_of(figures, "precision_recall")
    }
    lines = []
    for at, label in enumerate(labels):
        right, rows, predicted = counts[at][at], sum(counts[at]), sum(row[at] for row in counts)
        f1 = 2 * right / (rows + predicted) if rows + predicted else None
        precision, recall = right / predicted if predicted else None, right / rows if rows else None
        lines.append(ClassLine(label, rows, precision, recall, f1, areas.get(label), averages.get(label)))
    return lines
