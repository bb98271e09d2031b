"""Storing, reading, deleting and sweeping artifacts: the app's public face.

The order of things, so that nothing half-written is ever seen whatever is killed when: the pending row, then the
bytes, then their size and digest in the row, then (in the transaction of whoever names the artifact) ``ready``.
Deletion goes the other way: the row first, the bytes after the commit. The sweep removes what was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from modelpool.core.artifacts import ArtifactStore
from modelpool.core.errors import ArtifactCorrupt, Conflict, InvalidField, ModelpoolError, TooLarge
from modelpool.storage.failpoints import reach
from modelpool.storage.models import Artifact
from modelpool.storage.quotas import Reservation, storage_quota, storage_used
from modelpool.storage.reading import copy_to_file, download_url, open_artifact, read_artifact
from modelpool.storage.stores import get_store
from modelpool.storage.sweeping import Sweep, SweepReport, remove_bytes
from modelpool.storage.transfers import Progress, TransferReport, copy_files, move_files
from modelpool.storage.verifying import Damage, VerifyReport, verify
from modelpool.tenants.models import Tenant

__all__ = [
    "Damage",
    "Progress",
    "SweepReport",
    "TransferReport",
    "VerifyReport",
    "copy_files",
    "copy_to_file",
    "delete_artifacts",
    "discard_artifact",
    "download_url",
    "get_store",
    "mark_ready",
    "move_files",
    "open_artifact",
    "read_artifact",
    "storage_quota",
    "storage_used",
    "store_artifact",
    "sweep",
    "verify",
]

_ROWS_AT_ONCE = 500  # below the limits of variables in a statement


def store_artifact(
    tenant: Tenant,
    *,
    chunks: Iterable[bytes],
    store: str,
    filename: str = "",
    media_type: str = "application/octet-stream",
    limit_bytes: int | None = None,
    expected_sha256: str | None = None,
    replaces_bytes: int = 0,
) -> Artifact:
    """Store a file and return its row, still pending: :func:`mark_ready` it in the transaction that names it.

    ``replaces_bytes`` of the quota are taken already by what goes when this artifact comes to be named.

    Must not be called inside a transaction, which would hold it for as long as the client sends. Raises
    :class:`TooLarge` past ``limit_bytes``, :class:`StorageQuotaExceeded`, :class:`StoreUnavailable`, and
    :class:`InvalidField` when the digest is not ``expected_sha256``; what ``chunks`` raises passes through. After any
    error nothing is left but, when the process or the database died, what the sweep removes.
    """
    target = get_store(store)
    artifact: Artifact = Artifact.objects.create(
        tenant=tenant, store=store, filename=_clean(filename), media_type=media_type[:100]
    )
    reach("artifact.reserved")
    try:
        meter = _Meter(Reservation(artifact, replaces_bytes=replaces_bytes), limit_bytes)
        _store(target, artifact, chunks, meter=meter, expected_sha256=expected_sha256)
    except BaseException:
        discard_artifact(artifact)
        raise
    return artifact


def mark_ready(artifact: Artifact) -> None:
    """Make a stored artifact ready, inside the transaction of the row that names it.

    Raises :class:`Conflict` when it was swept meanwhile, or was never stored whole.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("an artifact becomes ready in the transaction that names it")
    pending = (
        Artifact.objects.for_tenant(artifact.tenant_id)
        .filter(pk=artifact.pk, state=Artifact.State.PENDING)
        .exclude(sha256="")
    )
    if not pending.update(state=Artifact.State.READY):
        raise Conflict("The stored file waited for so long that it was cleaned up; send it again.")
    artifact.state = Artifact.State.READY


def delete_artifacts(artifacts: Iterable[Artifact]) -> None:
    """Mark artifacts deleted in the caller's transaction; their bytes go after its commit, or with the next sweep."""
    rows = [artifact for artifact in artifacts if artifact.state != Artifact.State.DELETED]
    with transaction.atomic():
        for tenant_id in {artifact.tenant_id for artifact in rows}:
            mine = [artifact.pk for artifact in rows if artifact.tenant_id == tenant_id]
            for at in range(0, len(mine), _ROWS_AT_ONCE):
                found = Artifact.objects.for_tenant(tenant_id).filter(pk__in=mine[at : at + _ROWS_AT_ONCE])
                found.update(state=Artifact.State.DELETED, deleted_at=Now())
        transaction.on_commit(lambda: _release(rows))


def discard_artifact(artifact: Artifact) -> None:
    """Take back a stored file that nothing came to name, at once where that can be done; never raises.

    A ready artifact is left alone: something names it. What cannot be removed now, the sweep removes.
    """
    with suppress(ModelpoolError, DatabaseError):
        row = Artifact.objects.for_tenant(artifact.tenant_id).filter(pk=artifact.pk)
        row.exclude(state=Artifact.State.READY).update(state=Artifact.State.DELETED, deleted_at=Now(), size_bytes=0)
        if not row.filter(state=Artifact.State.READY).exists():  # nor can it become ready any more
            remove_bytes(artifact)


def sweep(*, grace_s: float, is_dry_run: bool = False, progress: Callable[[str], None] = lambda _: None) -> SweepReport:
    """Remove interrupted uploads, deleted artifacts and objects that no row names, when older than ``grace_s`` seconds.

    Safe to run at any time, by several processes at once. A store that does not pass its check is left alone and named
    in the report. ``grace_s`` is counted from an upload's last sign of life.
    """
    return Sweep(grace_s=grace_s, is_dry_run=is_dry_run, progress=progress).run()


def _store(
    target: ArtifactStore,
    artifact: Artifact,
    chunks: Iterable[bytes],
    *,
    meter: _Meter,
    expected_sha256: str | None,
) -> None:
    stored = target.put(artifact.key, meter.watch(chunks))
    reach("artifact.stored")
    if stored.size_bytes != meter.size_bytes or target.stat(artifact.key).size_bytes != stored.size_bytes:
        raise ArtifactCorrupt("The artifact store did not keep as many bytes as were sent; send the file again.")
    if expected_sha256 is not None and expected_sha256.lower() != stored.sha256:
        raise InvalidField(
            "sha256", f"the file that arrived has the sha256 {stored.sha256}; send it again.", code="digest_mismatch"
        )
    meter.reservation.settle(stored.size_bytes, sha256=stored.sha256)
    artifact.size_bytes, artifact.sha256 = stored.size_bytes, stored.sha256
    reach("artifact.verified")


class _Meter:
    """Counts the bytes that pass, within the limit and the quota."""

    def __init__(self, reservation: Reservation, limit_bytes: int | None) -> None:
        self.reservation = reservation
        self._limit_bytes = limit_bytes
        self.size_bytes = 0

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.size_bytes += len(chunk)
            if self._limit_bytes is not None and self.size_bytes > self._limit_bytes:
                raise TooLarge(self._limit_bytes, "file")
            self.reservation.cover(self.size_bytes)
            yield chunk


def _release(artifacts: list[Artifact]) -> None:
    reach("artifacts.released")
    for artifact in artifacts:
        with suppress(DatabaseError):
            remove_bytes(artifact)


def _clean(filename: str) -> str:
    """Keep a client's file name as a label only: printable, one line, short."""
    return "".join(c for c in filename if c.isprintable() and c not in "/\\")[-200:]
