"""Named questions about use, and about what is loaded where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet, Sum
from django.utils import timezone

from modelpool.core.served import HOUR, MINUTE, quantile
from modelpool.monitoring.models import TIME_FIELDS, LoadedVersion, ServedSpan, ServingProcess, VersionUse
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.tenants.models import Tenant

STALE_AFTER = timedelta(seconds=150)
"""A process that gave no sign of life for so long is dead: it gives one at least each minute."""

USE_DAYS = 30
"""Over how many days use is told."""


@dataclass(slots=True)
class Node:
    """What the web processes of one machine hold together."""

    name: str
    processes: list[ServingProcess] = field(default_factory=list)

    @property
    def held_bytes(self) -> int:
        """The memory of all models, each counted once for each process."""
        return sum(process.held_bytes for process in self.processes)

    @property
    def budget_bytes(self) -> int:
        """What they may hold."""
        return sum(process.budget_bytes for process in self.processes)


def living_processes() -> QuerySet[ServingProcess]:
    """Return the web processes that gave a sign of life lately."""
    return ServingProcess.objects.filter(seen_at__gt=timezone.now() - STALE_AFTER).order_by("node", "pid")


def nodes() -> list[Node]:
    """Return the machines that hold models, by name."""
    found: dict[str, Node] = {}
    for process in living_processes():
        found.setdefault(process.node, Node(process.node)).processes.append(process)
    return list(found.values())


def where_loaded(versions: Sequence[ModelVersion]) -> dict[UUID, list[LoadedVersion]]:
    """Return where each version is in memory, by its id; those that are nowhere have an empty list."""
    found: dict[UUID, list[LoadedVersion]] = defaultdict(list)
    for tenant_id in {version.tenant_id for version in versions}:
        rows = LoadedVersion.objects.for_tenant(tenant_id).filter(version__in=[version.pk for version in versions])
        rows = rows.filter(process__seen_at__gt=timezone.now() - STALE_AFTER).select_related("process")
        for row in rows.order_by("process__node", "process__pid"):
            found[row.version_id].append(row)
    return found


def requests_lately(version: ModelVersion) -> int:
    """Return how many requests a version answered in the last :data:`USE_DAYS` days, as far as it was told by now."""
    since = datetime.now(UTC).date() - timedelta(days=USE_DAYS)
    rows = VersionUse.objects.for_tenant(version.tenant_id).filter(version=version, day__gt=since)
    return int(rows.aggregate(total=Sum("requests"))["total"] or 0)


def largest_loaded(*, limit: int) -> QuerySet[LoadedVersion]:
    """Return what is in memory anywhere, the largest first, with versions, models and tenants."""
    rows: QuerySet[LoadedVersion] = LoadedVersion.unscoped.filter(process__in=living_processes())
    rows = rows.select_related("process", "version", "version__model", "tenant").defer("version__figures")
    return rows.filter(version__pk__isnull=False).order_by("-size_bytes", "pk")[:limit]


@dataclass(frozen=True, slots=True)
class Served:
    """What was asked in one span of time, on all nodes; latencies in seconds, of the answers with 200."""

    start: datetime
    requests: int
    refused: int
    errors: int
    by_time: tuple[int, ...]
    """Answers with 200 by how long they took; see :mod:`modelpool.core.served`."""

    @property
    def p50(self) -> float | None:
        """What half of the answers took at most."""
        return quantile(self.by_time, 0.5)

    @property
    def p95(self) -> float | None:
        """What 95 of a hundred answers took at most."""
        return quantile(self.by_time, 0.95)


def served(
    tenant: Tenant | None,
    *,
    model: RegisteredModel | None = None,
    version: int | None = None,
    spans: int,
    seconds: int = MINUTE,
) -> list[Served]:
    """Return what a tenant, one of its models, or a version of that was asked, in each of the last ``spans`` spans.

    Without a tenant it is what all were asked, for operators.
    ``seconds`` is :data:`~modelpool.core.served.MINUTE` or :data:`~modelpool.core.served.HOUR`; the last span is under
    way. However many models there are, the database adds them up: one row is read for each span.
    """
    now = int(timezone.now().timestamp())
    last = now - now % seconds
    starts = [datetime.fromtimestamp(last - back * seconds, UTC) for back in reversed(range(spans))]
    rows = ServedSpan.unscoped.all() if tenant is None else ServedSpan.objects.for_tenant(tenant)
    rows = rows.filter(seconds=seconds, start__gte=starts[0])
    rows = rows if model is None else rows.filter(model=model)
    rows = rows if version is None else rows.filter(version=version)
    sums = {name: Sum(name) for name in ("requests", "refused", "errors", *TIME_FIELDS)}
    found = {row.pop("start"): row for row in rows.order_by().values("start").annotate(**sums)}
    return [_served(start, found.get(start, {})) for start in starts]


def was_served(tenant: Tenant, *, seconds: int = HOUR) -> bool:
    """Say whether any version of the tenant was ever asked, as far as it is kept."""
    return bool(ServedSpan.objects.for_tenant(tenant).filter(seconds=seconds).exists())


def _served(start: datetime, sums: Mapping[str, int]) -> Served:
    requests, refused, errors = (sums.get(name, 0) for name in ("requests", "refused", "errors"))
    return Served(start, requests, refused, errors, tuple(sums.get(name, 0) for name in TIME_FIELDS))
