"""The contract of an artifact store: where the bytes of models and datasets live.

A store keeps immutable objects under keys that the server makes and never reuses. It knows nothing of tenants,
versions or databases of models; ``storage.services`` does. Built-in stores are in ``storage/backends``, the contract
check that every store passes in ``core/testing/store_contract.py``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from modelpool.core.errors import ArtifactCorrupt

KEY_PATTERN = re.compile(r"[0-9a-f]{32}/[0-9a-f]{32}")
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """What a store wrote: the count of bytes and their digest, both computed while they streamed through."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object in a listing; ``modified_at`` is aware and by the store's own clock."""

    key: str
    size_bytes: int
    modified_at: datetime


class ObjectMissing(ArtifactCorrupt):
    """The store answers, and has no object under that key."""

    code = "object_missing"


class ArtifactStore(ABC):
    """Immutable objects under keys ``<tenant id>/<artifact id>``, both 32 hexadecimal digits.

    Methods that must be written: :meth:`put`, :meth:`open`, :meth:`stat`, :meth:`delete`, :meth:`list`, :meth:`check`.
    May be overridden: :meth:`local_path`, :meth:`sweep_partial`, :meth:`download_url`,
    :attr:`is_remote`.

    All raise :class:`~modelpool.core.errors.StoreUnavailable` when the store does not answer (a vanished mount is
    that, never an empty store), :class:`ObjectMissing` when it answers and has no such object, and ``ValueError``
    for a key that does not match :data:`KEY_PATTERN`.
    """

    is_remote: bool = False
    """Whether reading goes over a network, so that files are worth keeping on the local disk."""

    @abstractmethod
    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        """Write a new object, visible only when it is whole and durable.

        Raises ``FileExistsError`` for a key that exists: keys are never reused. When ``chunks`` raises, nothing is
        visible and the exception passes through.
        """

    @abstractmethod
    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the bytes ``[start, stop)``, up to :data:`CHUNK_BYTES` at a time; a missing object raises at once."""

    @abstractmethod
    def stat(self, key: str) -> StoredObject:
        """Return the object's size and time, or raise :class:`ObjectMissing`."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; removing what is not there is success."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects whose key begins with ``prefix``, in the order of keys; never half-written ones."""

    @abstractmethod
    def check(self) -> None:
        """Raise :class:`~modelpool.core.errors.StoreUnavailable` unless objects can be read and written now."""

    def local_path(self, key: str) -> Path | None:
        """Return a readable path of the object on this machine, or ``None`` where the store has none."""
        return None

    def open_foreign(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream a file that somebody else put into the store: ``path`` is below the store's root, plain names only.

        Raises :class:`ObjectMissing` where there is none, ``NotImplementedError`` where a store can hold none.
        """
        raise NotImplementedError("stores of this kind hold no files of others")

    def download_url(self, key: str, *, filename: str) -> str | None:
        """Return an address that a client may fetch the object from for a while, as an attachment of that name.

        ``None`` where the store has no such addresses, or its operator does not want clients to come to it.
        """
        return None

    def sweep_partial(self, *, older_than_s: float) -> int:
        """Remove what interrupted writes left behind for longer than ``older_than_s``; return how many."""
        return 0


def check_key(key: str) -> str:
    """Return ``key`` unchanged, or raise ``ValueError``: a key is made by the server, so a wrong one is a fault."""
    if KEY_PATTERN.fullmatch(key) is None:
        raise ValueError(f"not an artifact key: {key!r}")
    return key
