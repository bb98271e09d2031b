"""What web processes write down about their work, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from modelpool.core.comparisons import Compared, Figures
from modelpool.core.runtime.pool import Holding, PoolKey
from modelpool.monitoring.models import LoadedVersion, ServingProcess, TrafficFigures, VersionUse
from modelpool.monitoring.querysets import STALE_AFTER
from modelpool.monitoring.traffic import add_figures

_KEEP_USE = timedelta(days=90)
_BATCH = 500


class DatabaseMonitor:
    """Keeps it in the tables of this app, for one process named by ``node`` and ``pid``; one thread at a time."""

    def __init__(self, *, node: str, pid: int) -> None:
        self._process = ServingProcess(id=uuid4(), node=node[:255], pid=pid, started_at=timezone.now())
        self._written: dict[UUID, Holding] = {}
        self._is_there = False

    def record_use(self, uses: Mapping[PoolKey, int]) -> None:
        """Add to how often versions answered today (UTC)."""
        today = datetime.now(UTC).date()
        keys = sorted(uses, key=lambda key: str(key.version_id))  # one order for all, so that none waits for another
        for start in range(0, len(keys), _BATCH):
            some = keys[start : start + _BATCH]
            rows = [
                VersionUse(tenant_id=key.tenant_id, version_id=key.version_id, day=today, requests=0) for key in some
            ]
            with transaction.atomic():
                VersionUse.unscoped.bulk_create(rows, ignore_conflicts=True)
                for key in some:
                    found = VersionUse.objects.for_tenant(key.tenant_id).filter(version_id=key.version_id, day=today)
                    found.update(requests=F("requests") + uses[key])

    def record_loaded(self, loaded: Sequence[Holding], *, budget_bytes: int) -> None:
        """Replace what this process said before by what it holds now, and forget dead processes."""
        now = {holding.key.version_id: holding for holding in loaded}
        with transaction.atomic():
            self._sign_life(now, budget_bytes=budget_bytes)
            changed = [key for key, holding in now.items() if self._written.get(key) != holding]
            gone = [key for key in self._written if key not in now]
            mine = LoadedVersion.unscoped.filter(process=self._process)
            for start in range(0, len(gone + changed), _BATCH):
                mine.filter(version_id__in=(gone + changed)[start : start + _BATCH]).delete()
            LoadedVersion.unscoped.bulk_create([self._row(now[key]) for key in changed], batch_size=_BATCH)
        self._written, self._is_there = now, True

    def record_end(self) -> None:
        """Take this process out; it is there again when it says that it holds something."""
        ServingProcess.objects.filter(pk=self._process.pk).delete()
        self._written, self._is_there = {}, False

    def most_used(self, *, limit: int) -> list[UUID]:
        """Return the versions used yesterday and today, the most used first."""
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        used = VersionUse.unscoped.filter(day__gte=yesterday, requests__gt=0).order_by().values_list("version_id")
        return [version for version, _ in used.annotate(total=Sum("requests")).order_by("-total")[:limit]]

    def record_comparisons(self, figures: Mapping[Compared, Figures]) -> None:
        """Add to the figures of versions that answer side by side, in those of this hour."""
        add_figures(figures)

    def _sign_life(self, now: Mapping[UUID, Holding], *, budget_bytes: int) -> None:
        process = self._process
        process.seen_at, process.budget_bytes, process.n_models = timezone.now(), budget_bytes, len(now)
        process.held_bytes = sum(holding.size_bytes for holding in now.values())
        fields = {"seen_at": process.seen_at, "budget_bytes": budget_bytes, "n_models": process.n_models}
        fields["held_bytes"] = process.held_bytes
        if not self._is_there or not ServingProcess.objects.filter(pk=process.pk).update(**fields):
            self._written = {}  # new, or taken for dead while it hung
            ServingProcess.objects.filter(pk=process.pk).delete()
            process.save(force_insert=True)
            prune()

    def _row(self, holding: Holding) -> LoadedVersion:
        key = holding.key
        since = datetime.fromtimestamp(holding.since, UTC)
        return LoadedVersion(
            tenant_id=key.tenant_id,
            process=self._process,
            version_id=key.version_id,
            size_bytes=holding.size_bytes,
            since=since,
        )


def prune() -> None:
    """Delete the rows of dead processes, and use of long ago."""
    ServingProcess.objects.filter(seen_at__lt=timezone.now() - STALE_AFTER).delete()
    VersionUse.unscoped.filter(day__lt=datetime.now(UTC).date() - _KEEP_USE).delete()
    TrafficFigures.unscoped.filter(hour__lt=timezone.now() - _KEEP_USE).delete()
