"""Figures of versions that answer side by side: added up by the hour, and read as a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

import msgspec
from django.db import transaction
from django.utils import timezone

from modelpool.core.comparisons import Buckets, Compared, Figures, quantile
from modelpool.monitoring.models import TrafficFigures
from modelpool.registry.models import RegisteredModel

_FIELDS = tuple(Figures.__slots__)
_BUCKETS = ("latency", "main_latency")


class Latency(msgspec.Struct, frozen=True):
    """Seconds that half, 95 and 99 of a hundred answers took at most, to about a fifth; ``null`` without any."""

    p50: float | None
    p95: float | None
    p99: float | None


class VersionReport(msgspec.Struct, frozen=True):
    """A version that answered: ``refused`` did not fit it (4xx), ``errors`` are what it failed for (5xx)."""

    version: int
    requests: int
    refused: int
    errors: int
    latency: Latency


class ShadowReport(msgspec.Struct, frozen=True):
    """A shadow beside the version that answered the same requests.

    ``disagreement`` is the share of ``rows`` whose answers differ; distances are those of numbers: predictions of a
    regression, probabilities where they were asked for. ``dropped`` copies were never run.
    """

    version: int
    against: int
    requests: int
    errors: int
    dropped: int
    rows: int
    differing_rows: int
    disagreement: float | None
    mean_difference: float | None
    max_difference: float | None
    latency: Latency
    main_latency: Latency


class TrafficReport(msgspec.Struct, frozen=True):
    """How the versions of one experiment did; ``since`` is the hour that the figures begin with."""

    rule: str
    since: datetime | None
    versions: list[VersionReport]
    shadows: list[ShadowReport]


def add_figures(figures: Mapping[Compared, Figures]) -> None:
    """Add them to those of this hour (UTC), whatever other processes add at the same time.

    Rows are locked in one order, so that no process waits for another that waits for it.
    """
    hour = _hour_of(timezone.now())
    for about in sorted(figures, key=lambda about: (str(about.rule), about.version, about.against)):
        where = {"model_id": about.model_id, "rule": about.rule, "hour": hour}
        where |= {"version": about.version, "against": about.against}
        with transaction.atomic():
            fresh = TrafficFigures(tenant_id=about.tenant_id, **where)
            rows = TrafficFigures.objects.for_tenant(about.tenant_id)
            rows.bulk_create([fresh], ignore_conflicts=True)
            row = rows.select_for_update(no_key=True).get(**where)
            total = _figures_of(row)
            total.add(figures[about])
            for name, value in asdict(total).items():
                setattr(row, name, value)
            row.save(update_fields=_FIELDS)


def traffic_report(model: RegisteredModel, *, rule: UUID, since: datetime | None = None) -> TrafficReport:
    """Return how the versions of an experiment did, from the hour of ``since`` on, or from its beginning."""
    rows = TrafficFigures.objects.for_tenant(model.tenant_id).filter(model=model, rule=rule)
    if since is not None:
        rows = rows.filter(hour__gte=_hour_of(since))
    found: dict[tuple[int, int], Figures] = {}
    first: datetime | None = None
    for row in rows.order_by("hour"):
        first = first or row.hour
        found.setdefault((row.version, row.against), Figures()).add(_figures_of(row))
    pairs = sorted(found.items())
    return TrafficReport(
        rule=str(rule),
        since=first,
        versions=[_version_report(version, figures) for (version, against), figures in pairs if not against],
        shadows=[_shadow_report(*pair, figures) for pair, figures in pairs if pair[1]],
    )


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _figures_of(row: TrafficFigures) -> Figures:
    values = {name: getattr(row, name) for name in _FIELDS}
    values |= {name: {int(bucket): count for bucket, count in values[name].items()} for name in _BUCKETS}
    return Figures(**values)


def _version_report(version: int, figures: Figures) -> VersionReport:
    latency = _latency_of(figures.latency)
    return VersionReport(version, figures.requests, figures.refused, figures.errors, latency)


def _shadow_report(version: int, against: int, figures: Figures) -> ShadowReport:
    return ShadowReport(
        version=version,
        against=against,
        requests=figures.requests,
        errors=figures.errors,
        dropped=figures.dropped,
        rows=figures.rows,
        differing_rows=figures.differing,
        disagreement=figures.differing / figures.rows if figures.rows else None,
        mean_difference=figures.difference_sum / figures.values if figures.values else None,
        max_difference=figures.difference_max if figures.values else None,
        latency=_latency_of(figures.latency),
        main_latency=_latency_of(figures.main_latency),
    )


def _latency_of(buckets: Buckets) -> Latency:
    return Latency(p50=quantile(buckets, 0.5), p95=quantile(buckets, 0.95), p99=quantile(buckets, 0.99))
