"""Charts: what is drawn and what is said of it, independent of how a page draws it.

``{% include "console/parts/chart.html" with chart=chart %}`` draws one with Chart.js (``static/console/charts.js``),
and gives the same figures as a table to whoever reads rather than looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django.utils.translation import gettext as _

Figure = float | int | None
_LARGEST = 1e100
MOST_TOLD = 50
"""Points of one line in the table; the ends are among them."""


@dataclass(frozen=True, slots=True)
class Series:
    """Figures of one name: ``values`` beside the chart's labels, or ``points`` (x, y) where x is a number."""

    name: str
    values: Sequence[Figure] = ()
    points: Sequence[tuple[float, float]] = ()
    is_muted: bool = False
    """Drawn thin and dashed: a line to compare with."""
    is_filled: bool = False
    is_marked: bool = False
    """Drawn as large points above the others, without a line: some figures of another series that matter."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its words.

    ``labels`` are the texts along x, or ISO times with ``x_is_time``; without labels the series have points.
    ``links`` are addresses, one a label: a click on the figure goes there.
    """

    id: str
    """Unique on the page; letters, digits and hyphens."""
    title: str
    kind: Literal["line", "bar", "horizontal-bar", "scatter"]
    series: Sequence[Series]
    labels: Sequence[str] = ()
    x_title: str = ""
    y_title: str = ""
    y_min: float | None = None
    y_max: float | None = None
    x_min: float | None = None
    x_max: float | None = None
    x_is_time: bool = False
    is_small: bool = False
    """Without axes and legend, a few lines high: a sparkline beside a figure."""
    links: Sequence[str] = field(default=())
    summary: str = ""
    """One sentence for those who cannot see it; the title when empty."""

    @property
    def spec(self) -> dict[str, Any]:
        """What the script draws from; goes into the page as JSON that is never run."""
        return {
            "kind": self.kind,
            "labels": list(self.labels),
            "series": [
                {
                    "name": one.name,
                    "values": [value if _is_drawable(value) else None for value in one.values],
                    "points": [list(point) for point in one.points if all(map(_is_drawable, point))],
                    "muted": one.is_muted,
                    "filled": one.is_filled,
                    "marked": one.is_marked,
                }
                for one in self.series
            ],
            "x": {"title": self.x_title, "time": self.x_is_time, "min": self.x_min, "max": self.x_max},
            "y": {"title": self.y_title, "min": self.y_min, "max": self.y_max},
            "small": self.is_small,
            "links": list(self.links),
        }

    @property
    def spec_id(self) -> str:
        """The id of the JSON in the page."""
        return f"{self.id}-data"

    @property
    def headings(self) -> list[str]:
        """What stands above the columns of the table; the first one is that of the label."""
        x = self.x_title or _("Label")
        shown = self._told
        if self.labels or len(shown) == 1:
            return [x, *(one.name for one in shown)]
        return [_("Line"), x, self.y_title or _("Value")]

    @property
    def rows(self) -> list[tuple[Any, list[Figure]]]:
        """The table: a label and a figure of each series; for points their x and y, of several series by name.

        Of a line with very many points some are told: :data:`MOST_TOLD`.
        """
        shown = self._told
        if self.labels:
            return [(label, [_at(one.values, i) for one in shown]) for i, label in enumerate(self.labels)]
        if len(shown) == 1:
            return [(x, [y]) for x, y in _some(shown[0].points)]
        return [(one.name, [x, y]) for one in shown for x, y in _some(one.points)]

    @property
    def _told(self) -> list[Series]:
        """The series of the table; a line to compare with has no points worth a row."""
        return [one for one in self.series if self.labels or not one.is_muted]


def _some(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    last = len(points) - 1
    if last < MOST_TOLD:
        return points
    return [points[round(at * last / (MOST_TOLD - 1))] for at in range(MOST_TOLD)]


def _is_drawable(value: Figure) -> bool:
    """JSON has no infinity, and an axis to the largest float ends no more: either would end the drawing of all."""
    return value is not None and abs(value) <= _LARGEST


def _at(values: Sequence[Figure], position: int) -> Figure:
    return values[position] if position < len(values) else None
