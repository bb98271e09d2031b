"""Single files of the share: sent, moved, read, removed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime

from modelpool.core.errors import ModelpoolError, StoreUnavailable
from modelpool.storage.backends.webdav.client import Connection
from modelpool.storage.backends.webdav.listing import Entry, Listing, find_entry, list_folder

UPLOADS = ".uploads/"
"""The folder of files that do not have their name yet."""


class Files:
    """Paths are below the share, and of our own making."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, path: str) -> Entry | None:
        """Return a file's size and time, ``None`` where there is none; Apache is silent on the size of empty ones."""
        answer = self._connection.ask("HEAD", path, doing="find a file", accept=(200, 404))
        if answer.status_code == 404:
            return None
        try:
            size, modified = (
                int(answer.headers["content-length"]),
                parsedate_to_datetime(answer.headers["last-modified"]),
            )
        except (KeyError, ValueError):
            return find_entry(self._connection, path)
        return Entry(path.rpartition("/")[2], is_folder=False, size_bytes=size, modified_at=modified)

    def read(self, path: str) -> bytes | None:
        """Return a small file, ``None`` where there is none."""
        answer = self._connection.ask("GET", path, doing="read a file", accept=(200, 404))
        return answer.content if answer.status_code == 200 else None

    def list(self, path: str = "") -> Listing | None:
        """Return what is in a folder."""
        return list_folder(self._connection, path)

    def delete(self, path: str) -> None:
        """Remove a file; one that is not there is removed."""
        self._connection.ask("DELETE", path, doing="remove a file", accept=(200, 202, 204, 404))

    @contextmanager
    def uploaded(self, chunks: Iterator[bytes]) -> Iterator[str]:
        """Send a file under a private name, which is given for a ``with`` block; removed unless it was moved away."""
        self._make_folder(UPLOADS)
        path = f"{UPLOADS}{secrets.token_hex(16)}.part"
        try:
            self._connection.ask("PUT", path, doing="write a file", accept=(200, 201, 204), content=chunks)
            yield path
        finally:
            with suppress(ModelpoolError):
                self.delete(path)

    def move(self, source: str, target: str) -> None:
        """Give a file its name; raise ``FileExistsError`` where another one has it."""
        folder = f"{target.rpartition('/')[0]}/"
        if folder != "/":
            self._make_folder(folder)
        headers = {"Destination": self._connection.url_of(target), "Overwrite": "F"}
        try:
            answer = self._connection.ask(
                "MOVE", source, doing="finish a file", accept=(200, 201, 204, 404, 412), headers=headers
            )
            was_moved = answer.status_code in (200, 201, 204)
            exists = answer.status_code == 412
        except StoreUnavailable:
            was_moved = exists = False
            if not self._was_moved(source, target):
                raise
            was_moved = True
        if exists:
            raise FileExistsError(target)
        if not was_moved and not self._was_moved(source, target):  # an answer that was lost, and asked for again
            raise StoreUnavailable("The artifact store lost a file while it was finished; send it again.")

    def _was_moved(self, source: str, target: str) -> bool:
        return self.find(source) is None and self.find(target) is not None

    def _make_folder(self, path: str) -> None:
        """Make a folder unless it is there; somebody else may make it at the same moment, which is 405."""
        if find_entry(self._connection, path) is None:
            self._connection.ask("MKCOL", path, doing="make a folder", accept=(200, 201, 405))
