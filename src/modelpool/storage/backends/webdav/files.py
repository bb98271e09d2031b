"""Single files of the share: sent, moved, read, removed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from modelpool.core.errors import ModelpoolError, StoreUnavailable
from modelpool.storage.backends.webdav.client import Connection
from modelpool.storage.backends.webdav.downloads import pieces
from modelpool.storage.backends.webdav.listing import Listing, describe, list_folder, moment

UPLOADS = ".uploads/"
"""The folder of files that do not have their name yet."""
_DONE = (200, 201, 204)


class Files:
    """Paths are below the share, and of our own making."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, path: str) -> tuple[int, datetime] | None:
        """Return a file's size and time, ``None`` where there is none.

        ``PROPFIND`` is asked when ``HEAD`` does not tell, as Apache's does not of an empty file.
        """
        answer = self._connection.ask("HEAD", path, doing="find a file", accept=(200, 404))
        if answer.status == 404:
            return None
        try:
            return int(answer.headers["content-length"]), moment(answer.headers["last-modified"])
        except (KeyError, ValueError):
            entry = describe(self._connection, path)
            return None if entry is None else (entry.size_bytes, entry.modified_at)

    def read(self, path: str) -> bytes | None:
        """Return a small file, ``None`` where there is none."""
        answer = self._connection.ask("GET", path, doing="read a file", accept=(200, 404))
        return answer.content if answer.status == 200 else None

    def read_range(self, path: str, start: int, end: int) -> Generator[bytes, None, None]:
        """Give the bytes ``[start, end)`` of a file."""
        return pieces(self._connection, path, start, end)

    def digest(self, path: str) -> str | None:
        """Read a file and return its SHA-256, ``None`` where there is none."""
        found = self.find(path)
        if found is None:
            return None
        digest = hashlib.sha256()
        for piece in self.read_range(path, 0, found[0]):
            digest.update(piece)
        return digest.hexdigest()

    def list(self, path: str = "") -> Listing | None:
        """Return what is in a folder."""
        return list_folder(self._connection, path)

    def delete(self, path: str) -> None:
        """Remove a file; one that is not there is removed."""
        self._connection.ask("DELETE", path, doing="remove a file", accept=(*_DONE, 202, 404))

    @contextmanager
    def uploaded(self, chunks: Iterable[bytes]) -> Iterator[str]:
        """Send a file under a private name, which is given for a ``with`` block that moves or removes it.

        It is removed when the block fails.
        """
        self._make_folder(UPLOADS)
        path = f"{UPLOADS}{secrets.token_hex(16)}.part"
        try:
            self._connection.ask("PUT", path, doing="write a file", accept=_DONE, content=iter(chunks))
            yield path
        except BaseException:
            with suppress(ModelpoolError):
                self.delete(path)
            raise

    def move(self, source: str, target: str, *, sha256: str) -> None:
        """Give the file with that digest its name; raise ``FileExistsError`` where another one has it.

        An answer may be lost, and the question asked again; what it says then is not believed before looking.
        """
        folder, slash, _ = target.rpartition("/")
        if slash:
            self._make_folder(f"{folder}/")
        headers = {"Destination": self._connection.url_of(target), "Overwrite": "F"}
        try:
            status = self._connection.ask(
                "MOVE", source, doing="finish a file", accept=(*_DONE, 404, 412), headers=headers
            ).status
        except StoreUnavailable:
            with suppress(ModelpoolError):
                if self._is_moved(source, target, sha256):
                    return
            raise
        if status in _DONE or self._is_moved(source, target, sha256):
            return
        if status == 412:
            raise FileExistsError(target)
        raise StoreUnavailable("The artifact store lost a file while it was finished; send it again.")

    def _is_moved(self, source: str, target: str, sha256: str) -> bool:
        return self.find(source) is None and self.digest(target) == sha256

    def _make_folder(self, path: str) -> None:
        """Make a folder unless it is there: 405 says that it is, and one server answers 201 all the same.

        Apache answers 403 when another one makes it at the same moment.
        """
        doing = "make a folder"
        status = self._connection.ask("MKCOL", path, doing=doing, accept=(200, 201, 403, 405)).status
        if status == 403 and self.list(path) is None:
            raise self._connection.refusal(status, doing)
