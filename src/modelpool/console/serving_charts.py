"""Charts of what a tenant, a model or a version was asked: predictions a minute, and how long they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.charts import Chart, Series
from modelpool.core.served import HOUR, MINUTE, quantile
from modelpool.monitoring.querysets import Served, served
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.tenants.models import Tenant

PERIODS = {"hour": gettext_lazy("Last hour"), "day": gettext_lazy("Last day")}
"""What can be looked at, with its name."""

_MINUTES, _HOURS = 60, 24


@dataclass(frozen=True, slots=True)
class ServingCharts:
    """Two charts, and the figures of the whole period: latencies in milliseconds, ``None`` without answers."""

    period: str
    requests: Chart
    latency: Chart
    n_requests: int
    n_refused: int
    n_errors: int
    p50_ms: float | None
    p95_ms: float | None

    @property
    def periods(self) -> list[tuple[str, Any]]:
        """What else can be looked at."""
        return list(PERIODS.items())

    @property
    def a_minute(self) -> float:
        """Predictions a minute, on average."""
        return self.n_requests / (_MINUTES if self.period == "hour" else _HOURS * 60)


def tenant_charts(tenant: Tenant, *, period: str = "hour") -> ServingCharts:
    """Return the charts of all models of a tenant."""
    return _charts(_spans(tenant, period=period), period=period, id="serving")


def installation_charts(*, period: str = "hour") -> ServingCharts:
    """Return the charts of all models of all tenants."""
    return _charts(_spans(None, period=period), period=period, id="installation-serving")


def model_charts(model: RegisteredModel, *, period: str = "hour") -> ServingCharts:
    """Return the charts of all versions of a model."""
    return _charts(_spans(model.tenant, model=model, period=period), period=period, id="model-serving")


def version_charts(version: ModelVersion, *, period: str = "hour") -> ServingCharts:
    """Return the charts of one version."""
    spans = _spans(version.tenant, model=version.model, version=version.number, period=period)
    return _charts(spans, period=period, id="version-serving")


def period_of(asked: str) -> str:
    """Return the period that an address asks for, the last hour for anything else."""
    return asked if asked in PERIODS else "hour"


def _spans(tenant: Tenant | None, *, period: str, **of: Any) -> list[Served]:
    """The minute that is under way is left out: it would look like a fall."""
    if period == "day":
        return served(tenant, spans=_HOURS, seconds=HOUR, **of)
    return served(tenant, spans=_MINUTES + 1, seconds=MINUTE, **of)[:-1]


def _charts(spans: Sequence[Served], *, period: str, id: str) -> ServingCharts:
    by_time = [sum(counts) for counts in zip(*(span.by_time for span in spans), strict=True)]
    return ServingCharts(
        period=period,
        requests=_requests(spans, period=period, id=f"{id}-requests"),
        latency=_latency(spans, id=f"{id}-latency"),
        n_requests=sum(span.requests for span in spans),
        n_refused=sum(span.refused for span in spans),
        n_errors=sum(span.errors for span in spans),
        p50_ms=_ms(quantile(by_time, 0.5)),
        p95_ms=_ms(quantile(by_time, 0.95)),
    )


def _requests(spans: Sequence[Served], *, period: str, id: str) -> Chart:
    minutes = [_minutes(span, period=period) for span in spans]
    series = [
        Series(
            _("Predictions"), [_rate(span.requests, n) for span, n in zip(spans, minutes, strict=True)], is_filled=True
        )
    ]
    if any(span.errors or span.refused for span in spans):
        failed = [_rate(span.errors + span.refused, n) for span, n in zip(spans, minutes, strict=True)]
        series.append(Series(_("Refused or failed"), failed))
    return Chart(
        id=id,
        title=_("Predictions a minute"),
        kind="line",
        labels=[span.start.isoformat() for span in spans],
        x_is_time=True,
        series=series,
        y_min=0,
        x_title=_("Time"),
    )


def _latency(spans: Sequence[Served], *, id: str) -> Chart:
    return Chart(
        id=id,
        title=_("Latency in milliseconds"),
        kind="line",
        labels=[span.start.isoformat() for span in spans],
        x_is_time=True,
        series=[
            Series(_("Half took at most (p50)"), [_ms(span.p50) for span in spans]),
            Series(_("95 % took at most (p95)"), [_ms(span.p95) for span in spans]),
        ],
        y_min=0,
        x_title=_("Time"),
    )


def _minutes(span: Served, *, period: str) -> float:
    """How many minutes of the span are over: the hour under way has fewer."""
    if period != "day":
        return 1.0
    return min(60.0, max(1.0, (timezone.now() - span.start).total_seconds() / 60))


def _rate(count: int, minutes: float) -> float:
    return round(count / minutes, 2)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds * 1000:.3g}")
