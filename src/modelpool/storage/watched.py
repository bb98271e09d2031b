"""Stores that are watched: what fails is remembered until it works again, for those who look after the installation."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from django.utils import timezone

from modelpool.core.artifacts import ArtifactStore, StoredBytes, StoredObject
from modelpool.core.errors import ModelpoolError, StoreFull, StoreUnavailable

T = TypeVar("T")

_MOST_CHARS = 500


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last failure of a store in this process; ``worked_at`` is when it was seen to work again."""

    store: str
    failed_at: datetime
    detail: str
    worked_at: datetime | None = None


class Troubles:
    """What fails in this process, by the alias of the store; any thread may tell and ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Trouble] = {}
        self._untold: set[str] = set()
        self._news = threading.Event()

    def failed(self, store: str, error: ModelpoolError) -> None:
        """Remember the failure. It is news when the store worked before, or fails in another way than before."""
        detail = "; ".join([str(error), *getattr(error, "__notes__", ())])[:_MOST_CHARS]
        with self._lock:
            before = self._found.get(store)
            self._found[store] = Trouble(store, timezone.now(), detail)
            self._untold.add(store)
            if before is None or before.worked_at is not None or before.detail != detail:
                self._news.set()

    def worked(self, store: str) -> None:
        """Remember that the store works again."""
        with self._lock:
            before = self._found.get(store)
            if before is not None and before.worked_at is None:
                self._found[store] = replace(before, worked_at=timezone.now())
                self._untold.add(store)

    def failing(self) -> list[str]:
        """Return the stores that were not seen to work since they failed."""
        with self._lock:
            return [store for store, trouble in self._found.items() if trouble.worked_at is None]

    def wait(self, timeout_s: float) -> None:
        """Wait for news, up to ``timeout_s``."""
        self._news.wait(timeout_s)

    def wake(self) -> None:
        """End the wait."""
        self._news.set()

    def take(self) -> list[Trouble]:
        """Return what has changed since it was taken the last time."""
        with self._lock:
            self._news.clear()
            untold = [self._found[store] for store in sorted(self._untold)]
            self._untold.clear()
        return untold

    def give_back(self, troubles: Iterable[Trouble]) -> None:
        """Say that these could not be told; they are taken again, unless newer ones are."""
        with self._lock:
            self._untold |= {trouble.store for trouble in troubles} & self._found.keys()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()
            self._untold.clear()
            self._news.clear()


TROUBLES = Troubles()
"""Those of this process."""


class WatchedStore(ArtifactStore):
    """A store whose failures are remembered under its alias; everything else is the store's own.

    A failure belongs to the store that was the first to see it: of a file that is copied, the source's when it cannot
    be read and the target's when it cannot be written, though both are under way.
    """

    def __init__(self, store: ArtifactStore, *, alias: str, troubles: Troubles = TROUBLES) -> None:
        self.store = store
        self.is_remote = store.is_remote
        self._alias = alias
        self._troubles = troubles

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        """Write a new object."""
        with self._watching():
            return self.store.put(key, chunks)

    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> AbstractContextManager[Iterator[bytes]]:
        """Stream an object's bytes."""
        return self._opened(self.store.open(key, start=start, stop=stop))

    def stat(self, key: str) -> StoredObject:
        """Return the object's size and time."""
        with self._watching():
            return self.store.stat(key)

    def delete(self, key: str) -> None:
        """Remove the object."""
        with self._watching():
            self.store.delete(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects whose key begins with ``prefix``."""
        return self._watched(self.store.list(prefix))

    def check(self) -> None:
        """Raise unless objects can be read and written now; that they can is remembered as well."""
        with self._watching():
            self.store.check()
        self._troubles.worked(self._alias)

    def local_path(self, key: str) -> Path | None:
        """Return a readable path of the object on this machine, if there is one."""
        with self._watching():
            return self.store.local_path(key)

    def open_foreign(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream a file that somebody else put into the store."""
        return self._opened(self.store.open_foreign(path))

    def download_url(self, key: str, *, filename: str) -> str | None:
        """Return an address that a client may fetch the object from for a while."""
        with self._watching():
            return self.store.download_url(key, filename=filename)

    def sweep_partial(self, *, older_than_s: float) -> int:
        """Remove what interrupted writes left behind."""
        with self._watching():
            return self.store.sweep_partial(older_than_s=older_than_s)

    @contextmanager
    def _opened(self, opening: AbstractContextManager[Iterator[bytes]]) -> Iterator[Iterator[bytes]]:
        with self._watching(), opening as pieces:
            yield self._watched(pieces)

    def _watched(self, items: Iterator[T]) -> Iterator[T]:
        with self._watching():
            yield from items

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except (StoreUnavailable, StoreFull) as error:
            if "failed_store" not in vars(error):
                vars(error)["failed_store"] = self._alias
                self._troubles.failed(self._alias, error)
            raise
