"""Reading every file again: is it still what was stored, and where it is not, can another copy mend it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet, Sum

from modelpool.core.artifacts import ObjectMissing
from modelpool.core.errors import ArtifactCorrupt, ModelpoolError
from modelpool.storage.models import Artifact, Replica
from modelpool.storage.reading import open_copy, placed
from modelpool.storage.replicas import copy_artifact, discard, put_in_place
from modelpool.storage.transfers import Progress, Silent
from modelpool.tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Damage:
    """A copy that is not what was stored; ``problem`` is missing, corrupt or unreachable."""

    artifact: str
    tenant: str
    store: str
    key: str
    problem: str
    detail: str
    is_repaired: bool = False


@dataclass(slots=True)
class VerifyReport:
    """What was read and what is wrong with it."""

    files: int = 0
    copies: int = 0
    size_bytes: int = 0
    repaired: int = 0
    damages: list[Damage] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether every copy is what was stored, by now."""
        return all(damage.is_repaired for damage in self.damages)


def verify(
    *,
    tenant: Tenant | None = None,
    store: str | None = None,
    may_repair: bool = False,
    progress: Progress | None = None,
) -> VerifyReport:
    """Read and hash each copy of each ready file: of one tenant, in one store, or all.

    With ``may_repair``, what is missing or corrupt is made anew from another copy, where there is a good one.
    """
    run = _Verification(tenant, store, may_repair=may_repair, progress=progress or Silent())
    run.run()
    return run.report


class _Verification:
    def __init__(self, tenant: Tenant | None, store: str | None, *, may_repair: bool, progress: Progress) -> None:
        self._tenant = tenant
        self._store = store
        self._may_repair = may_repair
        self._progress = progress
        self.report = VerifyReport()

    def run(self) -> None:
        artifacts, replicas = self._artifacts(), self._replicas()
        first = artifacts.aggregate(count=Count("pk"), size=Sum("size_bytes"))
        second = replicas.aggregate(count=Count("pk"), size=Sum("artifact__size_bytes"))
        self._progress.begin(
            files=first["count"] + second["count"], size_bytes=(first["size"] or 0) + (second["size"] or 0)
        )
        for artifact in _each(artifacts):
            self.report.files += 1
            self._verify(artifact, artifact)
        for replica in _each(replicas.select_related("artifact")):
            self._verify(replica.artifact, replica)

    def _artifacts(self) -> QuerySet[Artifact]:
        rows = Artifact.unscoped if self._tenant is None else Artifact.objects.for_tenant(self._tenant)
        ready = rows.filter(state=Artifact.State.READY)
        return ready if self._store is None else ready.filter(store=self._store)

    def _replicas(self) -> QuerySet[Replica]:
        rows = Replica.unscoped if self._tenant is None else Replica.objects.for_tenant(self._tenant)
        ready = rows.filter(state=Replica.State.READY, artifact__state=Artifact.State.READY)
        return ready if self._store is None else ready.filter(store=self._store)

    def _verify(self, artifact: Artifact, copy: Artifact | Replica) -> None:
        object_id = copy.pk if isinstance(copy, Replica) else copy.object_id
        place = placed(artifact, copy.store, object_id)
        self.report.copies += 1
        try:
            with open_copy(place) as pieces:
                for piece in pieces:
                    self.report.size_bytes += len(piece)
        except ModelpoolError as error:
            if _is_still_there(copy):
                self._note(artifact, copy, place, error)
        self._progress.advance(artifact.filename or place.key, size_bytes=artifact.size_bytes)

    def _note(self, artifact: Artifact, copy: Artifact | Replica, place: Artifact, error: ModelpoolError) -> None:
        problem, detail, is_repaired = _problem_of(error), error.detail, False
        if self._may_repair and problem != "unreachable":
            try:
                is_repaired = _repair(artifact, copy)
            except ModelpoolError as another:
                detail = f"{detail} It could not be repaired: {another.detail}"
        self.report.repaired += is_repaired
        self.report.damages.append(
            Damage(str(artifact.pk), str(artifact.tenant_id), copy.store, place.key, problem, detail, is_repaired)
        )


def _repair(artifact: Artifact, copy: Artifact | Replica) -> bool:
    """Make the copy anew from a good one, in the same store; the wrong object goes."""
    if isinstance(copy, Replica):
        discard(copy)
        return copy_artifact(artifact, to=copy.store) is not None
    replica = copy_artifact(artifact, to=copy.store)
    return replica is not None and put_in_place(artifact, replica)


def _problem_of(error: ModelpoolError) -> str:
    if isinstance(error, ObjectMissing):
        return "missing"
    return "corrupt" if isinstance(error, ArtifactCorrupt) else "unreachable"


def _is_still_there(copy: Artifact | Replica) -> bool:
    """Look again: it may have been deleted or moved while it was read."""
    if isinstance(copy, Replica):
        return Replica.unscoped.filter(pk=copy.pk, state=Replica.State.READY).exists()
    rows = Artifact.unscoped.filter(pk=copy.pk, state=Artifact.State.READY)
    return rows.filter(store=copy.store, object_id=copy.object_id).exists()


def _each(rows: QuerySet[Any]) -> Iterator[Any]:
    """Go through rows by id, in pages: no cursor is open while files are read, and memory is bounded."""
    last = UUID(int=0)
    while page := list(rows.filter(pk__gt=last).order_by("pk")[:500]):
        yield from page
        last = page[-1].pk
