"""Reading artifacts: whatever is loaded or sent whole is proven to be the bytes that were stored."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from modelpool.core.errors import ArtifactCorrupt
from modelpool.storage.cache import NotCached, Wanted, pieces_of
from modelpool.storage.models import Artifact
from modelpool.storage.stores import get_cache, get_store


def read_artifact(artifact: Artifact) -> bytes:
    """Return the whole file; raise :class:`ArtifactCorrupt` when its size or sha256 is not the recorded one."""
    buffer = BytesIO()
    with _open_near(artifact) as pieces:
        for piece in pieces:
            buffer.write(piece)
    return buffer.getvalue()


@contextmanager
def open_artifact(artifact: Artifact, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
    """Stream the bytes ``[start, stop)`` in pieces of at most 1 MiB.

    Read whole, the file is verified before its last piece is given: a receiver that was told the length never takes a
    corrupt file for a good one. Of a part only the length is verified. Raises :class:`ArtifactCorrupt`.
    """
    end = artifact.size_bytes if stop is None else min(stop, artifact.size_bytes)
    with get_store(artifact.store).open(artifact.key, start=start, stop=end + (end == artifact.size_bytes)) as pieces:
        yield _verified(
            artifact, pieces, expected=max(end - start, 0), is_whole=start == 0 and end == artifact.size_bytes
        )


def copy_to_file(artifact: Artifact, path: Path) -> None:
    """Write the whole verified file to ``path``, private (0600), which must not exist; an error leaves nothing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file, _open_near(artifact) as pieces:
            for piece in pieces:
                file.write(piece)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _open_near(artifact: Artifact) -> Iterator[Iterator[bytes]]:
    """Stream the whole file, that of a remote store by way of the local disk."""
    cache = get_cache(artifact.store)
    if cache is None:
        with open_artifact(artifact) as pieces:
            yield pieces
        return
    wanted = Wanted(artifact.tenant_id, artifact.sha256, artifact.size_bytes)
    try:
        file = cache.fetch(wanted, lambda: open_artifact(artifact))
    except NotCached:
        with open_artifact(artifact) as pieces:
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
