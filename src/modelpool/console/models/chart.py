"""A metric over the versions of a pool."""

from __future__ import annotations

from django.utils.translation import gettext as _

from modelpool.console.charts import Chart, Series
from modelpool.console.models.places import version_stem
from modelpool.console.models.pool import Pool
from modelpool.console.pages import TenantPage

_MOST_POINTS = 100

Points = list[tuple[int, float]]


def metric_chart(page: TenantPage, pool: Pool, metric: str) -> Chart | None:
    """Return the metric of the newest versions that have it, oldest first, with links; ``None`` below two of them."""
    having = [(member.number, value) for member in pool.members if (value := member.value(metric)) is not None]
    points = having[:_MOST_POINTS][::-1]
    if len(points) < 2:
        return None
    stem = version_stem(page, pool.model.name)
    return Chart(
        id="metric-over-versions",
        title=_title(metric, pool.mode(metric), is_cut=len(having) > _MOST_POINTS),
        kind="line",
        labels=[f"v{number}" for number, _value in points],
        series=_series(pool, metric, points),
        x_title=_("Version"),
        y_title=metric,
        links=[f"{stem}{number}/" for number, _value in points],
        summary=_summary(metric, pool.mode(metric), points),
    )


def _series(pool: Pool, metric: str, points: Points) -> list[Series]:
    series = [Series(metric, values=[value for _number, value in points])]
    active = [value if number == pool.active_number else None for number, value in points]
    if any(value is not None for value in active):
        series.append(Series(_("active version"), values=active, is_marked=True))
    best = _best_so_far([value for _number, value in points], is_less=pool.mode(metric) == "min")
    return [*series, Series(_("best so far"), values=best, is_muted=True)]


def _best_so_far(values: list[float], *, is_less: bool) -> list[float]:
    found: list[float] = []
    for value in values:
        before = found[-1] if found else value
        found.append(min(before, value) if is_less else max(before, value))
    return found


def _title(metric: str, mode: str, *, is_cut: bool) -> str:
    better = _("smaller is better") if mode == "min" else _("larger is better")
    if is_cut:
        better = _("%(better)s; the newest %(count)d versions") % {"better": better, "count": _MOST_POINTS}
    return _("%(metric)s over versions (%(better)s)") % {"metric": metric, "better": better}


def _summary(metric: str, mode: str, points: Points) -> str:
    number, value = (min if mode == "min" else max)(points, key=lambda point: point[1])
    words = {"metric": metric, "count": len(points), "best": f"{value:.4g}", "number": number}
    return _("%(metric)s of %(count)d versions: the best is %(best)s, of version %(number)d.") % words
