"""A tenant's files on their way to another store: copied as second replicas, or moved, while they are read.

Each file is one step that is done or not: interrupted, the same call goes on with what is left. Two that run at the
same time share the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from django.db import transaction
from django.db.models import Count, QuerySet, Sum

from modelpool.core.errors import InvalidField, ModelpoolError
from modelpool.storage.models import Artifact, Replica
from modelpool.storage.replicas import copy_artifact, discard, prove, put_in_place, remove_left
from modelpool.storage.stores import get_store
from modelpool.tenants.changes import publish_change
from modelpool.tenants.models import Change, Tenant

_ANNOUNCE_EVERY = 100
_ROUNDS = 3  # files that become ready meanwhile are found by looking again
_PAUSE_S = 0.5


class Progress(Protocol):
    """Told how far a long piece of work is."""

    def begin(self, *, files: int, size_bytes: int) -> None:
        """So much more is to be done."""

    def advance(self, name: str, *, size_bytes: int) -> None:
        """One more file is done, or cannot be."""

    def wait(self, seconds: float) -> None:
        """For so long nothing can be done."""


class Silent:
    """A progress that nobody looks at."""

    def begin(self, *, files: int, size_bytes: int) -> None:
        """Say nothing."""

    def advance(self, name: str, *, size_bytes: int) -> None:
        """Say nothing."""

    def wait(self, seconds: float) -> None:
        """Say nothing."""


@dataclass(slots=True)
class TransferReport:
    """What was done for one tenant; nothing that ``failed`` was changed, and running again tries it again."""

    files: int = 0
    size_bytes: int = 0
    left_to_others: int = 0
    """Files that another process is copying, or that were deleted meanwhile."""
    under_way: int = 0
    """Uploads into another store that have not ended: run again for these."""
    old_copies_removed: int = 0
    old_copies_left: int = 0
    """What the old store does not let go now; the sweep tries again."""
    failed: dict[str, str] = field(default_factory=dict)
    """What went wrong, by the artifact's id."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.failed or self.under_way or self.left_to_others or self.old_copies_left)


def copy_files(
    tenant: Tenant, *, to: str, source: str | None = None, progress: Progress | None = None
) -> TransferReport:
    """Give each ready file of the tenant (of the store ``source`` only) a replica in the store ``to``.

    Raises :class:`InvalidField` for a store that does not work.
    """
    run = _Transfer(tenant, to=to, source=source, progress=progress or Silent())
    run.do_all(run.without_copy, lambda artifact: copy_artifact(artifact, to=to) is not None)
    return run.report


def move_files(
    tenant: Tenant, *, to: str, source: str | None = None, keep_s: float = 60.0, progress: Progress | None = None
) -> TransferReport:
    """Move each ready file of the tenant (of the store ``source`` only) to the store ``to``, verified.

    Old copies stay for ``keep_s`` after the last file, for those who are reading them. Where new files go is not
    changed: see :func:`modelpool.registry.relocation.send_new_files`.
    """
    run = _Transfer(tenant, to=to, source=source, progress=progress or Silent())
    run.do_all(run.elsewhere, run.move)
    run.announce()
    run.remove_old(keep_s=keep_s)
    return run.report


class _Transfer:
    def __init__(self, tenant: Tenant, *, to: str, source: str | None, progress: Progress) -> None:
        self._tenant = tenant
        self._to = to
        self._source = source
        self._progress = progress
        self._unannounced = 0
        self.report = TransferReport()

    def elsewhere(self) -> QuerySet[Artifact]:
        """The ready files that are in another store."""
        return self._ready().exclude(store=self._to)

    def without_copy(self) -> QuerySet[Artifact]:
        """The ready files that are not in the store at all."""
        copied = Replica.objects.for_tenant(self._tenant).filter(store=self._to, state=Replica.State.READY)
        return self.elsewhere().exclude(pk__in=copied.values("artifact_id"))

    def do_all(self, find: Callable[[], QuerySet[Artifact]], do: Callable[[Artifact], bool]) -> None:
        """Do it to all that are found, and to those found afterwards; one that fails keeps no other back."""
        try:
            get_store(self._to).check()
        except ModelpoolError as error:
            raise InvalidField("to", f"the store {self._to!r} does not work: {error.detail}") from error
        total = find().aggregate(files=Count("pk"), size=Sum("size_bytes"))
        self._progress.begin(files=total["files"], size_bytes=total["size"] or 0)
        for _ in range(_ROUNDS):
            if not self._do_once(find(), do):
                break
        self.report.left_to_others = find().exclude(pk__in=list(self.report.failed)).count()
        self.report.under_way = self._of_source(Artifact.State.PENDING).exclude(store=self._to).count()

    def move(self, artifact: Artifact) -> bool:
        """Copy, prove what was copied earlier once more, and put it in place."""
        replica = copy_artifact(artifact, to=self._to)
        if replica is None:
            return False
        prove(replica, artifact)
        is_moved = put_in_place(artifact, replica)
        if not is_moved:
            discard(replica)
        self._unannounced += is_moved
        if self._unannounced >= _ANNOUNCE_EVERY:
            self.announce()
        return is_moved

    def announce(self) -> None:
        """Let all processes look again where the tenant's files are."""
        if self._unannounced:
            with transaction.atomic():
                publish_change(Change.Kind.TENANT, ref=str(self._tenant.pk), tenant_id=self._tenant.pk)
            self._unannounced = 0

    def remove_old(self, *, keep_s: float) -> None:
        """Wait until nobody can be reading the old copies any more, then remove them."""
        left = Replica.objects.for_tenant(self._tenant).filter(state=Replica.State.LEAVING)
        until = time.monotonic() + keep_s
        while left.exists() and (rest_s := until - time.monotonic()) > 0:
            self._progress.wait(rest_s)
            time.sleep(min(_PAUSE_S, rest_s))
        done, failed = remove_left(older_than_s=max(keep_s - 1, 0), tenant_id=self._tenant.pk)
        self.report.old_copies_removed, self.report.old_copies_left = done, failed

    def _ready(self) -> QuerySet[Artifact]:
        return self._of_source(Artifact.State.READY)

    def _of_source(self, state: Artifact.State) -> QuerySet[Artifact]:
        rows = Artifact.objects.for_tenant(self._tenant).filter(state=state)
        return rows if self._source is None else rows.filter(store=self._source)

    def _do_once(self, found: QuerySet[Artifact], do: Callable[[Artifact], bool]) -> int:
        done = 0
        for artifact in self._each(found):
            try:
                is_done = do(artifact)
            except ModelpoolError as error:
                self.report.failed[str(artifact.pk)] = error.detail
            else:
                done += is_done
                self.report.files += is_done
                self.report.size_bytes += artifact.size_bytes * is_done
            self._progress.advance(artifact.filename or artifact.key, size_bytes=artifact.size_bytes)
        return done

    def _each(self, found: QuerySet[Artifact]) -> Iterator[Artifact]:
        """Go through the rows without a cursor that would be open for hours."""
        for pk in list(found.exclude(pk__in=list(self.report.failed)).order_by("pk").values_list("pk", flat=True)):
            artifact = found.filter(pk=pk).first()  # unless somebody else has done it
            if artifact is not None:
                yield artifact
