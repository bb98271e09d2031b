"""The sweep: what interrupted uploads, deletions and processes left behind, on both sides."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, RestrictedError
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from modelpool import conf
from modelpool.core.artifacts import ArtifactStore, ObjectMissing, StoredObject
from modelpool.core.errors import ModelpoolError
from modelpool.storage.failpoints import reach
from modelpool.storage.models import Artifact, Replica, StoreMark
from modelpool.storage.replicas import discard, remove_left
from modelpool.storage.stores import get_store
from modelpool.storage.temporary import old_files, remove_files
from modelpool.storage.unfinished import drop_expired, expired_uploads

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SweepReport:
    """What a sweep removed, or with ``is_dry_run`` would remove, and what it found wrong but cannot mend."""

    is_dry_run: bool = False
    expired_uploads: int = 0
    removed_artifacts: int = 0
    removed_objects: int = 0
    removed_bytes: int = 0
    removed_partial: int = 0
    removed_replicas: int = 0
    removed_temporary: int = 0
    """Files that uploads of killed processes left on this node's own disk."""
    missing: list[str] = field(default_factory=list)
    """Keys that a ready artifact names and its store does not have, or has in another size."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Stores that were left alone, and why."""


@dataclass(slots=True)
class Sweep:
    """One run over all stores; ``progress`` is told in a sentence what is being done."""

    grace_s: float
    is_dry_run: bool = False
    progress: Callable[[str], None] = lambda _: None
    report: SweepReport = field(default_factory=SweepReport)

    def run(self) -> SweepReport:
        """Expire uploads, remove what is marked deleted, then compare each store with the rows."""
        self.report.is_dry_run = self.is_dry_run
        self._expire_uploads()
        self._remove_left()
        for alias in sorted(self._aliases()):
            self.progress(f"store {alias}")
            try:
                store = get_store(alias)
                store.check()
                self._sweep_store(alias, store)
            except ModelpoolError as error:
                self.report.skipped[alias] = error.detail
        self._remove_temporary()
        return self.report

    def _aliases(self) -> set[str]:
        """The stores that are configured, and those that artifacts are in though they no longer are."""
        rows = (Artifact.unscoped, Replica.unscoped)
        return set(conf.settings().stores).union(*(row.values_list("store", flat=True).distinct() for row in rows))

    def _expire_uploads(self) -> None:
        """Give up what nobody sends any more: of uploads in one request, and of those that may be resumed."""
        self._expire_pending()
        self.report.expired_uploads += expired_uploads().count() if self.is_dry_run else drop_expired()

    def _expire_pending(self) -> None:
        limit = Now() - timedelta(seconds=self.grace_s)
        stale = Artifact.unscoped.filter(state=Artifact.State.PENDING, touched_at__lt=limit)
        if self.is_dry_run:
            self.report.expired_uploads = stale.count()
        else:
            self.report.expired_uploads = stale.update(state=Artifact.State.DELETED, deleted_at=Now())

    def _remove_left(self) -> None:
        """Remove the old copies of what was moved, and copies that were not finished."""
        if not self.is_dry_run:
            self.report.removed_replicas = remove_left(older_than_s=self.grace_s)[0]

    def _remove_temporary(self) -> None:
        found = old_files(conf.home().tmp_dir, older_than_s=self.grace_s)
        self.report.removed_temporary = len(found)
        if not self.is_dry_run:
            remove_files(found)

    def _sweep_store(self, alias: str, store: ArtifactStore) -> None:
        self._remove_deleted(alias)
        self._compare(alias, store)
        if not self.is_dry_run:
            self.report.removed_partial += store.sweep_partial(older_than_s=self.grace_s)

    def _remove_deleted(self, alias: str) -> None:
        deleted = Artifact.unscoped.filter(state=Artifact.State.DELETED, store=alias)
        for artifact in deleted.iterator(chunk_size=500):
            if self.is_dry_run or remove_bytes(artifact):
                self.report.removed_artifacts += 1

    def _compare(self, alias: str, store: ArtifactStore) -> None:
        """Go through the store tenant by tenant: memory is bounded by the largest tenant."""
        now = timezone.now()
        mark = StoreMark.objects.filter(alias=alias).first()
        since = mark.since if mark else datetime.min.replace(tzinfo=now.tzinfo)
        seen: set[UUID] = set()
        for tenant, group in itertools.groupby(store.list(), key=lambda found: found.key[:32]):
            seen.add(UUID(tenant))
            self.progress(f"store {alias}: tenant {UUID(tenant)}")
            objects = {found.key: found for found in group}
            self._remove_orphans(store, objects.values(), since=since, until=now - timedelta(seconds=self.grace_s))
            self._report_missing(store, alias, UUID(tenant), objects)
        ready = Artifact.unscoped.filter(store=alias, state=Artifact.State.READY).exclude(tenant_id__in=seen)
        for tenant_id in ready.values_list("tenant_id", flat=True).distinct():
            self._report_missing(store, alias, tenant_id, {})

    def _remove_orphans(
        self, store: ArtifactStore, objects: Iterable[StoredObject], *, since: datetime, until: datetime
    ) -> None:
        """Remove what no row names: rows are there before bytes and keys are never reused, so none can come to."""
        old = [found for found in objects if since <= found.modified_at < until]
        for at in range(0, len(old), 500):
            batch = old[at : at + 500]
            named = _named_of([_id_of(found) for found in batch])
            for found in batch:
                if _id_of(found) not in named:
                    self._remove_object(store, found)

    def _remove_object(self, store: ArtifactStore, found: StoredObject) -> None:
        self.report.removed_objects += 1
        self.report.removed_bytes += found.size_bytes
        if not self.is_dry_run:
            store.delete(found.key)

    def _report_missing(
        self, store: ArtifactStore, alias: str, tenant_id: UUID, objects: dict[str, StoredObject]
    ) -> None:
        ready = Artifact.unscoped.filter(tenant_id=tenant_id, store=alias, state=Artifact.State.READY)
        for artifact in ready.iterator(chunk_size=500):
            found = objects.get(artifact.key)
            if (found is None or found.size_bytes != artifact.size_bytes) and _is_damaged(store, artifact):
                self.report.missing.append(artifact.key)


def remove_bytes(artifact: Artifact) -> bool:
    """Remove the bytes of a deleted artifact, then its row; say whether both are gone (the sweep tries again)."""
    try:
        for replica in Replica.objects.for_tenant(artifact.tenant_id).filter(artifact_id=artifact.pk):
            discard(replica)
        get_store(artifact.store).delete(artifact.key)
        reach("artifact.removed")
        Artifact.unscoped.filter(pk=artifact.pk, state=Artifact.State.DELETED).delete()
    except (ModelpoolError, RestrictedError) as error:
        log.warning("artifact %s is deleted but could not be removed yet: %s", artifact.pk, error)
        return False
    return True


def _named_of(ids: list[UUID]) -> set[UUID]:
    """Return those of the objects that a row names, whichever store it says: aliases may be renamed, ids are unique."""
    named = Artifact.unscoped.filter(Q(object_id=None, pk__in=ids) | Q(object_id__in=ids))
    found = named.values_list(Coalesce("object_id", "id"), flat=True)
    return set(found).union(Replica.unscoped.filter(pk__in=ids).values_list("pk", flat=True))


def _id_of(found: StoredObject) -> UUID:
    return UUID(found.key[33:])


def _is_damaged(store: ArtifactStore, artifact: Artifact) -> bool:
    """Look again: the object may be newer than the listing, and the artifact may be deleted by now."""
    try:
        if store.stat(artifact.key).size_bytes == artifact.size_bytes:
            return False
    except ObjectMissing:
        pass
    return Artifact.unscoped.filter(pk=artifact.pk, state=Artifact.State.READY).exists()
