"""The store: ``<url>/<tenant id>/<artifact id>``.

Servers differ in what they make of two writers, of a connection that breaks off, and of conditions (measured with
six of them: four let readers see half of what is being overwritten). So a file is sent under a name that nobody else
has, read back, and moved to its own when it is whole, which all of them do without overwriting when they are asked to.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from modelpool.core.artifacts import ArtifactStore, ObjectMissing, StoredBytes, StoredObject, check_key
from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.counting import CountedChunks
from modelpool.storage.backends.marker import MarkRecord, Unrecorded
from modelpool.storage.backends.webdav.client import Connection, Share
from modelpool.storage.backends.webdav.files import UPLOADS, Files
from modelpool.storage.backends.webdav.marked import MarkedShare
from modelpool.storage.failpoints import reach

_NAME = re.compile(r"[0-9a-f]{32}")


class WebDAVStore(ArtifactStore):
    """Keeps objects on an HTTP server; ``record`` remembers which folder belongs there."""

    is_remote = True

    def __init__(self, share: Share, *, record: MarkRecord | None = None) -> None:
        self._files = Files(Connection(share))
        self._marked = MarkedShare(self._files, record or Unrecorded(), alias=share.alias)

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        """Send it under a private name, read it back, then move it to its own."""
        check_key(key)
        self._marked.prove()
        if self._files.find(key) is not None:
            raise FileExistsError(key)
        counted = CountedChunks(chunks)
        with self._files.uploaded(_reaching(counted)) as private:
            stored = counted.stored()
            if self._files.digest(private) != stored.sha256:
                raise StoreUnavailable("The artifact store gave back other bytes than it was given; send them again.")
            reach("file.synced")
            self._marked.prove(is_fresh=True)
            self._files.move(private, key, sha256=stored.sha256)
        reach("file.linked")
        return stored

    @contextmanager
    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        """Stream a range; a connection that breaks off is taken up where it was."""
        size = self.stat(key).size_bytes
        with closing(self._files.read_range(key, start, size if stop is None else min(stop, size))) as pieces:
            yield pieces

    @contextmanager
    def open_foreign(self, path: str) -> Iterator[Iterator[bytes]]:
        """Stream the file of that path below the share."""
        found = self._files.find(path)
        if found is None:
            raise ObjectMissing(f"The store has no file {path!r}.")
        with closing(self._files.read_range(path, 0, found[0])) as pieces:
            yield pieces

    def stat(self, key: str) -> StoredObject:
        """Ask for its head."""
        check_key(key)
        self._marked.prove()
        found = self._files.find(key)
        if found is None:
            self._marked.prove(is_fresh=True)  # in a folder that is not ours nothing is known to be missing
            raise ObjectMissing(f"The artifact store has no object {key}.")
        return StoredObject(key, *found)

    def delete(self, key: str) -> None:
        """Delete it; the tenant's folder stays."""
        check_key(key)
        self._marked.prove(is_fresh=True)
        self._files.delete(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """List the folders of the tenants, one after the other."""
        self._marked.prove(is_fresh=True)
        top = self._files.list()
        for folder in top.entries if top else ():
            if _NAME.fullmatch(folder.name) and folder.is_folder and folder.name.startswith(prefix[:32]):
                yield from self._list_tenant(folder.name, prefix)
        self._marked.prove(is_fresh=True)  # what is not in the listing is not there

    def check(self) -> None:
        """Write, move, read and delete a small file."""
        self._marked.prove(is_fresh=True)
        data = secrets.token_bytes(16)
        with self._files.uploaded([data]) as private:
            moved = f"{private}.check"
            self._files.move(private, moved, sha256=hashlib.sha256(data).hexdigest())
            found = self._files.read(moved)
            self._files.delete(moved)
        if found != data:
            raise StoreUnavailable("The artifact store gave back other bytes than it was given.")

    def sweep_partial(self, *, older_than_s: float) -> int:
        """Remove what was sent and never moved to its name, by the server's clock."""
        self._marked.prove(is_fresh=True)
        found = self._files.list(UPLOADS)
        if found is None:
            return 0
        ages = {entry.name: (found.at - entry.modified_at).total_seconds() for entry in found.entries}
        stale = [entry.name for entry in found.entries if not entry.is_folder and ages[entry.name] > older_than_s]
        for name in stale:
            self._files.delete(UPLOADS + name)
        return len(stale)

    def _list_tenant(self, tenant: str, prefix: str) -> Iterator[StoredObject]:
        found = self._files.list(f"{tenant}/")
        for entry in found.entries if found else ():
            key = f"{tenant}/{entry.name}"
            if _NAME.fullmatch(entry.name) and not entry.is_folder and key.startswith(prefix):
                yield StoredObject(key, entry.size_bytes, entry.modified_at)


def _reaching(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        reach("artifact.chunk")
