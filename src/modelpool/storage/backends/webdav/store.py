"""The store: ``<url>/<tenant id>/<artifact id>``.

Servers differ in what they make of two writers, of a connection that breaks off, and of conditions (measured with
six of them: four let readers see half of what is being overwritten). So a file is sent under a name that nobody else
has, and moved to its own when it is whole, which all of them do without overwriting when they are asked to.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from modelpool.core.artifacts import CHUNK_BYTES, ArtifactStore, ObjectMissing, StoredBytes, StoredObject, check_key
from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.marker import MarkRecord, Unrecorded
from modelpool.storage.backends.webdav.client import Connection, Share
from modelpool.storage.backends.webdav.files import UPLOADS, Files
from modelpool.storage.backends.webdav.listing import list_folder
from modelpool.storage.backends.webdav.marked import MarkedShare
from modelpool.storage.failpoints import reach

if TYPE_CHECKING:
    import httpx

_NAME = re.compile(r"[0-9a-f]{32}")
_RETRIES = 3
"""How often a download that breaks off is taken up again."""


class WebDAVStore(ArtifactStore):
    """Keeps objects on an HTTP server; ``record`` remembers which folder belongs there."""

    is_remote: ClassVar[bool] = True

    def __init__(self, share: Share, *, record: MarkRecord | None = None) -> None:
        self._connection = Connection(share)
        self._files = Files(self._connection)
        self._marked = MarkedShare(self._files, record or Unrecorded(), alias=share.alias)

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        """Send it under a private name, compare its size, then move it to its own."""
        check_key(key)
        self._marked.prove()
        if self._files.find(key) is not None:
            raise FileExistsError(key)
        counted = _Counted(chunks)
        with self._files.uploaded(iter(counted)) as private:
            kept = self._files.find(private)
            if kept is None or kept.size_bytes != counted.size_bytes:
                raise StoreUnavailable("The artifact store did not keep the file that it took; nothing was changed.")
            reach("file.synced")
            self._files.move(private, key)
        reach("file.linked")
        return StoredBytes(counted.size_bytes, counted.digest.hexdigest())

    @contextmanager
    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        """Stream a range; a connection that breaks off is taken up where it was, a few times."""
        check_key(key)
        self._marked.prove()
        size = self.stat(key).size_bytes
        yield _pieces(self._connection, key, start, size if stop is None else min(stop, size))

    def stat(self, key: str) -> StoredObject:
        """Ask for its head."""
        check_key(key)
        self._marked.prove()
        found = self._files.find(key)
        if found is None:
            raise ObjectMissing(f"The artifact store has no object {key}.")
        return StoredObject(key, found.size_bytes, found.modified_at)

    def delete(self, key: str) -> None:
        """Delete it; the tenant's folder stays."""
        check_key(key)
        self._marked.prove()
        self._files.delete(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """List the folders of the tenants, one after the other."""
        self._marked.prove()
        top = list_folder(self._connection, "")
        for folder in top.entries if top else ():
            if _NAME.fullmatch(folder.name) and folder.is_folder and _may_hold(folder.name, prefix):
                yield from self._list_tenant(folder.name, prefix)

    def check(self) -> None:
        """Write, read and delete a small file."""
        self._marked.prove(is_fresh=True)
        data = secrets.token_bytes(16)
        with self._files.uploaded(iter([data])) as private:
            if self._files.read(private) != data:
                raise StoreUnavailable("The artifact store gave back other bytes than it was given.")

    def sweep_partial(self, *, older_than_s: float) -> int:
        """Remove what was sent and never moved to its name, by the server's clock."""
        self._marked.prove()
        found = list_folder(self._connection, UPLOADS)
        stale = [
            entry.name
            for entry in (found.entries if found else ())
            if found and not entry.is_folder and (found.at - entry.modified_at).total_seconds() > older_than_s
        ]
        for name in stale:
            self._files.delete(UPLOADS + name)
        return len(stale)

    def _list_tenant(self, tenant: str, prefix: str) -> Iterator[StoredObject]:
        found = list_folder(self._connection, f"{tenant}/")
        for entry in found.entries if found else ():
            key = f"{tenant}/{entry.name}"
            if _NAME.fullmatch(entry.name) and not entry.is_folder and key.startswith(prefix):
                yield StoredObject(key, entry.size_bytes, entry.modified_at)


class _Counted:
    """Chunks that are counted and hashed while they pass."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.digest.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk
            reach("artifact.chunk")


def _may_hold(tenant: str, prefix: str) -> bool:
    return tenant.startswith(prefix[:32])


def _pieces(connection: Connection, key: str, start: int, end: int) -> Iterator[bytes]:
    """Give the bytes ``[start, end)``, over as many connections as it takes."""
    position, breaks = start, 0
    while position < end:
        try:
            with connection.streamed(key, doing="read a file", headers=_range(position, end)) as response:
                for piece in _body(connection, response, key, position, end):
                    position += len(piece)
                    yield piece
            if position < end:
                raise StoreUnavailable("The artifact store broke off while it was read; try again.")
        except StoreUnavailable:
            breaks += 1
            if breaks > _RETRIES:
                raise


def _range(start: int, end: int) -> dict[str, str]:
    return {"Range": f"bytes={start}-{end - 1}"}


def _body(connection: Connection, response: httpx.Response, key: str, start: int, end: int) -> Iterator[bytes]:
    """Give what is wanted of an answer, also of one that has the whole file though a part was asked for."""
    if response.status_code == 404:
        raise ObjectMissing(f"The artifact store has no object {key}.")
    if response.status_code == 206:
        if not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
            raise StoreUnavailable("The artifact store's server sends another part of a file than was asked for.")
        skip = 0
    elif response.status_code == 200:
        skip = start
    else:
        raise connection.refusal(response.status_code, "read a file")
    left = end - start
    for piece in response.iter_raw(CHUNK_BYTES):
        wanted = piece[skip:][:left]
        skip -= min(skip, len(piece))
        left -= len(wanted)
        if wanted:
            yield wanted
        if not left:
            return
