"""Objects in this process's memory, for tests."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from modelpool.core.artifacts import CHUNK_BYTES, ArtifactStore, ObjectMissing, StoredBytes, StoredObject, check_key


class MemoryStore(ArtifactStore):
    """Gone with the process; every thread of it sees the same objects."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._lock = threading.Lock()

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        """Gather the chunks, then show them at once."""
        if check_key(key) in self._objects:
            raise FileExistsError(key)
        data = b"".join(chunks)
        with self._lock:
            if key in self._objects:
                raise FileExistsError(key)
            self._objects[key] = (data, datetime.now(UTC))
        return StoredBytes(len(data), hashlib.sha256(data).hexdigest())

    @contextmanager
    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        """Cut pieces from the object."""
        data, _ = self._find(key)
        end = len(data) if stop is None else min(stop, len(data))
        yield (data[at : min(at + CHUNK_BYTES, end)] for at in range(start, end, CHUNK_BYTES))

    def stat(self, key: str) -> StoredObject:
        """Look the object up."""
        data, at = self._find(key)
        return StoredObject(key, len(data), at)

    def delete(self, key: str) -> None:
        """Forget the object."""
        with self._lock:
            self._objects.pop(check_key(key), None)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """List a copy of the keys, sorted."""
        with self._lock:
            found = sorted((key, len(data), at) for key, (data, at) in self._objects.items() if key.startswith(prefix))
        return (StoredObject(*entry) for entry in found)

    def check(self) -> None:
        """Memory is always there."""

    def _find(self, key: str) -> tuple[bytes, datetime]:
        try:
            return self._objects[check_key(key)]
        except KeyError:
            raise ObjectMissing(f"The artifact store has no object {key}.") from None
