"""Metrics of a running job over time, as small charts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from modelpool.console.charts import Chart, Series
from modelpool.core.policies import metric_value
from modelpool.training.models import JobLogLine, TrainingJob

_LINES = 10_000
_CHARTS = 9
_POINTS = 300


def charts_of(job: TrainingJob) -> list[Chart]:
    """Return a chart for each metric that the latest attempt told more than once, in the order they came."""
    lines = JobLogLine.objects.filter(job=job, attempt=job.attempt, kind="metric").order_by("id")
    found = series_of(lines.values_list("data", flat=True)[:_LINES])
    many = [(name, points) for name, points in found.items() if len(points) > 1]
    return [_chart(position, name, points) for position, (name, points) in enumerate(many[:_CHARTS])]


def series_of(values: Iterable[Mapping[str, Any] | None]) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) of each metric; one that names no steps is counted from 0."""
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for data in values:
        value = metric_value(data, "value") if data else None
        if data is None or value is None:
            continue
        points = found[str(data.get("name"))]
        step = data.get("step")
        points.append((step if isinstance(step, int) else len(points), value))
    return found


def _chart(position: int, name: str, points: list[tuple[int, float]]) -> Chart:
    every = -(-len(points) // _POINTS)
    shown = points[::every]
    if shown[-1] != points[-1]:
        shown.append(points[-1])
    last = {"name": name, "step": points[-1][0], "value": f"{points[-1][1]:.6g}"}
    return Chart(
        id=f"metric-{position}",
        title=name,
        kind="line",
        labels=[str(step) for step, _value in shown],
        series=[Series(name, values=[value for _step, value in shown])],
        x_title=_("Step"),
        summary=_("%(name)s by step; at step %(step)s it is %(value)s.") % last,
    )
