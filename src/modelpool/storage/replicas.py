"""Further copies of artifacts in other stores: made, proven, put in the first one's place, removed.

A copy is an object with an id of its own, so that no key is ever used twice, whatever is interrupted and begun again.
Whoever makes one keeps its row in motion; a row that rests for :data:`LEASE_S` is that of a process that died.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models.functions import Now

from modelpool.core.artifacts import StoredBytes
from modelpool.core.errors import ArtifactCorrupt, Conflict, ModelpoolError
from modelpool.storage.failpoints import reach
from modelpool.storage.models import Artifact, Replica
from modelpool.storage.reading import first_good, open_copy, placed
from modelpool.storage.stores import get_store

log = logging.getLogger(__name__)

LEASE_S = 60.0
_TOUCH_EVERY_S = 10.0


def copy_artifact(artifact: Artifact, *, to: str) -> Replica | None:
    """Return a ready, verified replica in the store ``to``, made now unless it is there already.

    ``None`` when another process is making it, or the artifact is deleted meanwhile. Whatever copy of the artifact is
    good is the source. Raises what either store does; nothing is left after an error but what the sweep removes.
    """
    replica = _begin(artifact, to)
    if replica is None or replica.state == Replica.State.READY:
        return replica
    reach("replica.begun")
    try:
        _fill(replica, artifact)
        reach("replica.stored")
        prove(replica, artifact)
        reach("replica.proven")
        is_ready = _finish(replica)
    except BaseException:
        discard(replica)
        raise
    if not is_ready:
        discard(replica)
        return None
    reach("replica.ready")
    return replica


def put_in_place(artifact: Artifact, replica: Replica) -> bool:
    """Let the artifact be where the replica is; its old copy is left, and removed by :func:`remove_left`.

    ``False`` when the artifact was deleted or moved, or the replica went, meanwhile.
    """
    with transaction.atomic():
        rows = Artifact.objects.for_tenant(artifact.tenant_id).select_for_update().filter(pk=artifact.pk)
        row = rows.filter(state=Artifact.State.READY, store=artifact.store, object_id=artifact.object_id).first()
        copies = Replica.objects.for_tenant(artifact.tenant_id).filter(pk=replica.pk, state=Replica.State.READY)
        if row is None or not copies.delete()[0]:
            return False
        Replica.objects.for_tenant(row.tenant_id).create(
            pk=row.object_id or row.pk,
            tenant_id=row.tenant_id,
            artifact=row,
            store=row.store,
            state=Replica.State.LEAVING,
        )
        row.store, row.object_id = replica.store, replica.pk
        row.save(update_fields=["store", "object_id"])
        reach("replica.placing")
    reach("replica.placed")
    artifact.store, artifact.object_id = row.store, row.object_id
    return True


def prove(replica: Replica, artifact: Artifact) -> None:
    """Read the replica from its store and compare; raise :class:`ArtifactCorrupt` when it is not the same file."""
    with open_copy(placed(artifact, replica.store, replica.pk)) as pieces:
        for _ in _keeping_alive(replica, pieces):
            pass


def discard(replica: Replica) -> None:
    """Take a replica back, at once where that can be done; never raises, the sweep removes what stays."""
    with suppress(ModelpoolError, DatabaseError):
        leave(replica)
        remove(replica)


def leave(replica: Replica) -> None:
    """Let nobody read it any more, nor put it in place."""
    rows = Replica.objects.for_tenant(replica.tenant_id).filter(pk=replica.pk)
    rows.update(state=Replica.State.LEAVING, touched_at=Now())


def remove(replica: Replica) -> None:
    """Remove the bytes of a replica that was left, then its row.

    One without a row is nobody's to remove: somebody may have put it in the artifact's place meanwhile.
    """
    row = Replica.objects.for_tenant(replica.tenant_id).filter(pk=replica.pk, state=Replica.State.LEAVING)
    if row.exists():
        get_store(replica.store).delete(replica.key)
        reach("replica.removed")
        row.delete()


def remove_left(*, older_than_s: float, tenant_id: UUID | None = None) -> tuple[int, int]:
    """Remove the replicas that were left so long ago, and those whose copying was interrupted; return done and failed.

    Those that a store does not let go now are tried again the next time.
    """
    rows = Replica.unscoped if tenant_id is None else Replica.objects.for_tenant(tenant_id)
    dead = Now() - timedelta(seconds=max(older_than_s, LEASE_S))
    rows.filter(state=Replica.State.COPYING, touched_at__lt=dead).update(state=Replica.State.LEAVING)
    left = rows.filter(state=Replica.State.LEAVING, touched_at__lt=Now() - timedelta(seconds=older_than_s))
    done = failed = 0
    for replica in left.iterator(chunk_size=500):
        try:
            remove(replica)
            done += 1
        except ModelpoolError as error:
            failed += 1
            log.warning(
                "the copy of artifact %s in %s cannot be removed yet: %s", replica.artifact_id, replica.store, error
            )
    return done, failed


def _begin(artifact: Artifact, to: str) -> Replica | None:
    mine = Replica.objects.for_tenant(artifact.tenant_id)
    same = mine.filter(artifact_id=artifact.pk, store=to)
    dead = same.filter(state=Replica.State.COPYING, touched_at__lt=Now() - timedelta(seconds=LEASE_S))
    dead.update(state=Replica.State.LEAVING)
    try:
        with transaction.atomic():
            created: Replica = mine.create(tenant_id=artifact.tenant_id, artifact_id=artifact.pk, store=to)
            return created
    except IntegrityError:  # there is one, or the artifact is gone
        ready: Replica | None = same.filter(state=Replica.State.READY).first()
        return ready


def _fill(replica: Replica, artifact: Artifact) -> None:
    def put(place: Artifact) -> StoredBytes:
        with open_copy(place) as pieces:
            return get_store(replica.store).put(replica.key, _keeping_alive(replica, pieces))

    stored = first_good(artifact, put)
    if (stored.size_bytes, stored.sha256) != (artifact.size_bytes, artifact.sha256):
        raise ArtifactCorrupt(f"The store {replica.store!r} did not keep what was sent; nothing was changed.")


def _finish(replica: Replica) -> bool:
    """Make it ready, unless its artifact is being deleted: whoever deletes looks for replicas after marking that."""
    with transaction.atomic():
        artifacts = Artifact.objects.for_tenant(replica.tenant_id).select_for_update()
        if not artifacts.filter(pk=replica.artifact_id, state=Artifact.State.READY).exists():
            return False
        mine = Replica.objects.for_tenant(replica.tenant_id).filter(pk=replica.pk, state=Replica.State.COPYING)
        replica.state = Replica.State.READY
        return bool(mine.update(state=Replica.State.READY, touched_at=Now()))


def _keeping_alive(replica: Replica, pieces: Iterable[bytes]) -> Iterator[bytes]:
    touched = time.monotonic()
    for piece in pieces:
        yield piece
        if time.monotonic() - touched > _TOUCH_EVERY_S:
            touched = time.monotonic()
            rows = Replica.objects.for_tenant(replica.tenant_id).filter(pk=replica.pk)
            if not rows.exclude(state=Replica.State.LEAVING).update(touched_at=Now()):
                raise Conflict("The copying rested for so long that it was cleaned up; begin again.")
