"""The root of a file-system store, and the marker that proves its volume is mounted."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.os_errors import translated
from modelpool.storage.backends.private_file import PRIVATE_NAME, PrivateFile

MARKER = ".modelpool-store"
FOLDER_MODE = 0o750
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HEADER = b"modelpool artifact store 1\n"
_CONTENT = re.compile(_HEADER + rb"([0-9a-f]{32})\n")
_FOUND_IN_EMPTY_VOLUMES = frozenset({"lost+found", ".snapshot", ".snapshots", ".Trash-0"})


class MarkRecord(Protocol):
    """What an installation remembers of the marker; kept apart from the volume that it proves."""

    def may_start_empty(self) -> bool:
        """Whether an empty root is a new store; not so when things are known to be in it."""

    def accept(self, mark: str) -> None:
        """Remember the marker's ``mark``, or raise :class:`StoreUnavailable` when another one is expected."""


class Unrecorded:
    """Remembers nothing: any marked volume will do, and an empty one is a new store."""

    def may_start_empty(self) -> bool:
        """An empty root is always a new store."""
        return True

    def accept(self, mark: str) -> None:
        """Any mark will do."""


def marker_of(mark: str) -> bytes:
    """Return what the marker of this mark holds."""
    return _HEADER + mark.encode() + b"\n"


def mark_of(content: bytes) -> str:
    """Return the mark that a marker holds, or raise :class:`StoreUnavailable` when it is spoilt."""
    found = _CONTENT.fullmatch(content)
    if found is None:
        raise StoreUnavailable(f"The marker file {MARKER} of the artifact store is spoilt; restore it from a backup.")
    return found[1].decode("ascii")


class MarkedRoot:
    """The root folder, opened anew for each use so that a volume that went away is noticed."""

    def __init__(self, path: Path, record: MarkRecord) -> None:
        self.path = path
        self._record = record
        self._accepted: str | None = None

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the folder, or raise :class:`StoreUnavailable` when its marker is missing or is another one."""
        with translated("open its folder"):
            descriptor = self._open()
        try:
            self._prove(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self.path, OPEN_FOLDER)
        except FileNotFoundError:
            if not self._record.may_start_empty():
                raise self._vanished() from None
            self.path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            return os.open(self.path, OPEN_FOLDER)

    def _prove(self, root: int) -> None:
        mark = self._read(root)
        if mark is None:
            mark = self._start(root)
        if mark != self._accepted:
            self._record.accept(mark)
            self._accepted = mark

    def _read(self, root: int) -> str | None:
        with translated("read its marker"):
            try:
                descriptor = os.open(MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
            except FileNotFoundError:
                return None
            try:
                content = os.read(descriptor, 200)
            finally:
                os.close(descriptor)
        return mark_of(content)

    def _start(self, root: int) -> str:
        """Mark an empty root as a store; of several processes at once, the first one's mark holds."""
        if self._holds_anything(root) or not self._record.may_start_empty():
            if (mark := self._read(root)) is not None:  # another process was first, and has put something there
                return mark
            raise self._vanished()
        mark = secrets.token_hex(16)
        with suppress(FileExistsError), PrivateFile(root, MARKER) as file:
            file.write(marker_of(mark))
            file.publish()
            return mark
        return self._read(root) or mark

    def _holds_anything(self, root: int) -> bool:
        with translated("list its folder"):
            names = os.listdir(root)
        strangers = {name for name in names if not PRIVATE_NAME.fullmatch(name) and not name.startswith(".nfs")}
        return bool(strangers - _FOUND_IN_EMPTY_VOLUMES)

    def _vanished(self) -> StoreUnavailable:
        error = StoreUnavailable(
            "The artifact store's folder has no marker file; is its volume mounted? "
            "Nothing is read or written until it is back."
        )
        error.add_note(f"path: {self.path}, expected: {MARKER}")
        error.__cause__ = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path / MARKER))
        return error
