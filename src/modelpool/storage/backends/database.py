"""Objects as rows of 1 MiB in the database itself: one thing to back up, no file system to share.

Written and read piece by piece, each in its own short statement, so that memory stays constant and a slow upload never
holds SQLite's only writer.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models.functions import Now

from modelpool.core.artifacts import CHUNK_BYTES, ArtifactStore, ObjectMissing, StoredBytes, StoredObject, check_key
from modelpool.core.errors import ModelpoolError, StoreFull, StoreUnavailable
from modelpool.storage.failpoints import reach
from modelpool.storage.models import ArtifactChunk, StoredBlob

_TOUCH_EVERY_S = 30.0
_DELETE_AT_ONCE = 64  # chunks per transaction
_DISK_FULL = "53100"  # PostgreSQL's disk_full


class DatabaseStore(ArtifactStore):
    """Keeps objects in the default database."""

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        """Insert chunk after chunk; the object is visible when the row of the blob says that it is complete."""
        blob = _create_blob(check_key(key))
        try:
            return _fill(blob, chunks)
        except BaseException:
            with suppress(ModelpoolError, DatabaseError):
                _remove(blob.pk)
            raise

    @contextmanager
    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        """Read chunk after chunk by number."""
        blob = _find(key)
        end = blob.size_bytes if stop is None else min(stop, blob.size_bytes)
        yield _pieces(blob, start, end)

    def stat(self, key: str) -> StoredObject:
        """Look at the blob's row."""
        return _describe(_find(key))

    def delete(self, key: str) -> None:
        """Hide the object at once, then delete its chunks in several short transactions."""
        check_key(key)
        with _translated("delete an object"):
            blob_id = StoredBlob.objects.filter(key=key).values_list("pk", flat=True).first()
            if blob_id is not None:
                StoredBlob.objects.filter(pk=blob_id).update(is_complete=False, modified_at=Now())
                _remove(blob_id)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Page through the complete blobs by key."""
        last = ""
        while True:
            with _translated("list its objects"):
                found = StoredBlob.objects.filter(is_complete=True, key__gt=last, key__startswith=prefix)
                page = list(found.order_by("key")[:1000])
            if not page:
                return
            yield from map(_describe, page)
            last = page[-1].key

    def check(self) -> None:
        """Ask the table."""
        with _translated("answer"):
            StoredBlob.objects.exists()

    def sweep_partial(self, *, older_than_s: float) -> int:
        """Remove blobs that are incomplete and were not written to for ``older_than_s``, by the database's clock."""
        with _translated("list its objects"):
            limit = Now() - timedelta(seconds=older_than_s)
            stale = list(
                StoredBlob.objects.filter(is_complete=False, modified_at__lt=limit).values_list("pk", flat=True)
            )
            for blob_id in stale:
                _remove(blob_id)
        return len(stale)


def _create_blob(key: str) -> StoredBlob:
    with _translated("create an object"):
        try:
            with transaction.atomic():
                return StoredBlob.objects.create(key=key)
        except IntegrityError as error:
            raise FileExistsError(key) from error


def _fill(blob: StoredBlob, chunks: Iterable[bytes]) -> StoredBytes:
    digest, size, touched = hashlib.sha256(), 0, time.monotonic()
    for number, piece in enumerate(_rows_of(chunks)):
        digest.update(piece)
        size += len(piece)
        with _translated("write an object"):
            ArtifactChunk.objects.create(blob=blob, number=number, data=piece)
            if time.monotonic() - touched > _TOUCH_EVERY_S:
                touched = time.monotonic()
                StoredBlob.objects.filter(pk=blob.pk).update(modified_at=Now())
        reach("artifact.chunk")
    _complete(blob, size)
    return StoredBytes(size, digest.hexdigest())


def _complete(blob: StoredBlob, size_bytes: int) -> None:
    with _translated("finish an object"):
        done = StoredBlob.objects.filter(pk=blob.pk).update(is_complete=True, size_bytes=size_bytes, modified_at=Now())
    if not done:
        raise StoreUnavailable("The upload rested for so long that it was cleaned up; send it again.")


def _rows_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut and join to pieces of exactly 1 MiB, but the last: a range begins at a row that can be computed."""
    buffer = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            taken = view[: CHUNK_BYTES - len(buffer)]
            buffer += taken
            view = view[len(taken) :]
            if len(buffer) == CHUNK_BYTES:
                yield bytes(buffer)
                buffer.clear()
    if buffer:
        yield bytes(buffer)


def _pieces(blob: StoredBlob, start: int, end: int) -> Iterator[bytes]:
    position = start
    while position < end:
        number, offset = divmod(position, CHUNK_BYTES)
        with _translated("read an object"):
            row = ArtifactChunk.objects.filter(blob_id=blob.pk, number=number).values_list("data", flat=True).first()
        if row is None:
            raise ObjectMissing(f"The artifact store lost part of {blob.key}, or it was deleted meanwhile.")
        piece = bytes(row)[offset : offset + end - position]
        if not piece:
            return
        position += len(piece)
        yield piece


def _remove(blob_id: int) -> None:
    while True:
        numbers = list(ArtifactChunk.objects.filter(blob_id=blob_id).values_list("pk", flat=True)[:_DELETE_AT_ONCE])
        if not numbers:
            break
        ArtifactChunk.objects.filter(pk__in=numbers).delete()
    StoredBlob.objects.filter(pk=blob_id).delete()


def _find(key: str) -> StoredBlob:
    check_key(key)
    with _translated("find an object"):
        blob = StoredBlob.objects.filter(key=key, is_complete=True).first()
    if blob is None:
        raise ObjectMissing(f"The artifact store has no object {key}.")
    return blob


def _describe(blob: StoredBlob) -> StoredObject:
    return StoredObject(blob.key, blob.size_bytes, blob.modified_at)


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """A database that does not answer is 503, one whose disk is full 507."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        is_full = "full" in str(error) or getattr(error.__cause__, "sqlstate", "") == _DISK_FULL
        kind = StoreFull if is_full else StoreUnavailable
        raise kind(f"The database could not {doing}; {'its disk is full' if is_full else 'try again soon'}.") from error
