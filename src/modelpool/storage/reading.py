"""Reading artifacts: whatever is loaded or sent whole is proven to be the bytes that were stored."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from django.db import DatabaseError

from modelpool.core.errors import ArtifactCorrupt, StoreUnavailable
from modelpool.storage.cache import NotCached, Wanted, pieces_of
from modelpool.storage.models import Artifact, Replica
from modelpool.storage.stores import get_cache, get_store

logger = logging.getLogger(__name__)

T = TypeVar("T")


def read_artifact(artifact: Artifact) -> bytes:
    """Return the whole file; raise :class:`ArtifactCorrupt` when its size or sha256 is not the recorded one."""

    def read(place: Artifact) -> bytes:
        buffer = BytesIO()
        with _open_near(place) as pieces:
            for piece in pieces:
                buffer.write(piece)
        return buffer.getvalue()

    return first_good(artifact, read)


def copy_to_file(artifact: Artifact, path: Path) -> None:
    """Write the whole verified file to ``path``, private (0600), which must not exist; an error leaves nothing."""

    def copy(place: Artifact) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file, _open_near(place) as pieces:
                for piece in pieces:
                    file.write(piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    first_good(artifact, copy)


@contextmanager
def open_artifact(artifact: Artifact, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
    """Stream the bytes ``[start, stop)`` in pieces of at most 1 MiB.

    Read whole, the file is verified before its last piece is given: a receiver that was told the length never takes a
    corrupt file for a good one. Of a part only the length is verified. Raises :class:`ArtifactCorrupt`.
    """
    with ExitStack() as stack:
        yield first_good(artifact, lambda place: stack.enter_context(open_copy(place, start=start, stop=stop)))


@contextmanager
def open_copy(artifact: Artifact, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
    """As :func:`open_artifact`, but no other copy is read where this one fails."""
    end = artifact.size_bytes if stop is None else min(stop, artifact.size_bytes)
    with get_store(artifact.store).open(artifact.key, start=start, stop=end + (end == artifact.size_bytes)) as pieces:
        yield _verified(
            artifact, pieces, expected=max(end - start, 0), is_whole=start == 0 and end == artifact.size_bytes
        )


def download_url(artifact: Artifact, *, filename: str) -> str | None:
    """Return where a client may fetch the file itself, ``None`` where it comes through us.

    An artifact whose object is not there, or whose store does not answer, comes through us as well: from another copy.
    """
    store = get_store(artifact.store)
    try:
        url = store.download_url(artifact.key, filename=filename)
        return url if url is not None and store.stat(artifact.key).size_bytes == artifact.size_bytes else None
    except (StoreUnavailable, ArtifactCorrupt):
        return None


def first_good(artifact: Artifact, read: Callable[[Artifact], T]) -> T:
    """Read at the artifact's place, and where that fails wherever else the database knows it to be."""
    try:
        return read(artifact)
    except (StoreUnavailable, ArtifactCorrupt) as error:
        for place in _other_places(artifact):
            try:
                found = read(place)
            except (StoreUnavailable, ArtifactCorrupt) as another:
                logger.warning("artifact %s cannot be read from %s either: %s", artifact.pk, place.store, another)
            else:
                logger.warning(
                    "artifact %s is read from %s, as %s fails: %s", artifact.pk, place.store, artifact.store, error
                )
                return found
        raise


def _other_places(artifact: Artifact) -> list[Artifact]:
    """Return where else the file is: its own row, as it may have moved, then its replicas."""
    try:
        row = Artifact.objects.for_tenant(artifact.tenant_id).filter(pk=artifact.pk, state=Artifact.State.READY).first()
        replicas = Replica.objects.for_tenant(artifact.tenant_id).filter(
            artifact_id=artifact.pk, state=Replica.State.READY
        )
        places = [] if row is None else [(row.store, row.object_id)]
        places += [] if row is None else [(replica.store, replica.pk) for replica in replicas]
    except DatabaseError as error:
        logger.warning("other copies of artifact %s cannot be looked up: %s", artifact.pk, error)
        return []
    return [placed(artifact, *place) for place in places if place != (artifact.store, artifact.object_id)]


def placed(artifact: Artifact, store: str, object_id: UUID | None) -> Artifact:
    """Return the same artifact, to be read at another place; not a row to be saved."""
    facts = {"sha256": artifact.sha256, "size_bytes": artifact.size_bytes}
    return Artifact(pk=artifact.pk, tenant_id=artifact.tenant_id, store=store, object_id=object_id, **facts)


@contextmanager
def _open_near(artifact: Artifact) -> Iterator[Iterator[bytes]]:
    """Stream the whole file, that of a remote store by way of the local disk."""
    cache = get_cache(artifact.store)
    if cache is None:
        with open_copy(artifact) as pieces:
            yield pieces
        return
    wanted = Wanted(artifact.tenant_id, artifact.sha256, artifact.size_bytes)
    try:
        file = cache.fetch(wanted, lambda: open_copy(artifact))
    except NotCached:
        with open_copy(artifact) as pieces:
            yield pieces
        return
    with pieces_of(file) as pieces:
        yield _verified(artifact, pieces, expected=artifact.size_bytes, is_whole=True)


def _verified(artifact: Artifact, pieces: Iterable[bytes], *, expected: int, is_whole: bool) -> Iterator[bytes]:
    digest, size, held = hashlib.sha256(), 0, b""
    for piece in pieces:
        if held:
            yield held
        held = piece
        size += len(piece)
        if size > expected:
            break
        if is_whole:
            digest.update(piece)
    if size != expected or (is_whole and digest.hexdigest() != artifact.sha256):
        raise ArtifactCorrupt(
            f"The stored file of artifact {artifact.pk} is not what was stored; it is neither loaded nor sent."
        )
    if held:
        yield held
