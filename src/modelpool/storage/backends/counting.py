"""What a store says of an object that it sent: how many bytes passed, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from modelpool.core.artifacts import StoredBytes


class CountedChunks:
    """Chunks that are counted and hashed while they pass, once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._digest.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk

    def stored(self) -> StoredBytes:
        """Return what passed until now."""
        return StoredBytes(self.size_bytes, self._digest.hexdigest())
