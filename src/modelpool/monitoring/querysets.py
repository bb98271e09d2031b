"""Named questions about use, and about what is loaded where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet, Sum
from django.utils import timezone

from modelpool.monitoring.models import LoadedVersion, ServingProcess, VersionUse
from modelpool.registry.models import ModelVersion

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
