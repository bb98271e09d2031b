"""Files of remote stores, kept on the local disk by tenant and digest, for all processes of a node.

``root/<tenant id>/<sha256>``. A file gets its name when it is whole and verified, and is verified again each time it is
opened: what a crash, a bad disk or somebody's hand made of it is fetched anew. Whoever fetches a file holds a lock on
its unfinished copy, so that others wait for it rather than fetch it as well; the kernel gives the lock back when its
holder dies. What was not used for longest goes first when there is no room.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from uuid import UUID

from modelpool.core.artifacts import CHUNK_BYTES

logger = logging.getLogger(__name__)

Source = Callable[[], AbstractContextManager[Iterator[bytes]]]
"""Opens the file where it really is."""

_NAME = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = re.compile(r"\.[0-9a-f]{64}\.part")
_WAIT_S = 30.0  # for another process that fetches the same file
_POLL_S = 0.02
_TOUCH_EVERY_S = 60.0
_ENOUGH = 0.9  # of the budget: what is held once files had to go
_SHARE_UNSEEN = 1 / 16  # of the room that is left: what a process adds before it looks again what the others did


class NotCached(Exception):
    """The file cannot be kept here now: too large, no room on the disk, or somebody takes long to fetch it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which file, and what it must be."""

    tenant_id: UUID
    sha256: str
    size_bytes: int


class ArtifactCache:
    """At most ``budget_bytes`` of files below ``root``; any number of processes may share it."""

    def __init__(self, root: Path, *, budget_bytes: int, wait_s: float = _WAIT_S) -> None:
        self._root = root
        self._budget = budget_bytes
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._unseen = 0

    def find(self, wanted: Wanted) -> BufferedReader | None:
        """Return the verified file, open at its beginning, or ``None`` when it is not here."""
        path = self._path(wanted)
        try:
            file = path.open("rb")
        except OSError:
            return None
        if not _is_right(file, wanted):
            file.close()
            logger.warning("a cached file is not what was stored, and is fetched again: %s", path)
            with suppress(OSError):
                path.unlink()
            return None
        _touch(file)
        return file

    def fetch(self, wanted: Wanted, source: Source) -> BufferedReader:
        """Return the verified file, fetching it where it is not here; one of several callers does, the others wait.

        Raises :class:`NotCached`; what ``source`` raises passes through.
        """
        if wanted.size_bytes > self._budget * _ENOUGH:
            raise NotCached
        found = self.find(wanted)
        if found is not None:
            return found
        try:
            with self._claim(wanted) as part:
                found = self.find(wanted)  # the one we waited for has fetched it
                return found or self._fill(part, wanted, source)
        except OSError as error:
            logger.warning("a file cannot be cached: %s", error)
            raise NotCached from error

    def forget(self, wanted: Wanted) -> None:
        """Remove a file that turned out to be wrong, or whose artifact is deleted."""
        with suppress(OSError):
            self._path(wanted).unlink()

    def held_bytes(self) -> int:
        """Return the bytes of all files, unfinished ones included."""
        return sum(size for _, size, _ in self._files())

    def _path(self, wanted: Wanted) -> Path:
        if _NAME.fullmatch(wanted.sha256) is None:
            raise ValueError(f"not a sha256: {wanted.sha256!r}")
        return self._root / wanted.tenant_id.hex / wanted.sha256

    # --- fetching -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _claim(self, wanted: Wanted) -> Iterator[Path]:
        """Hold the unfinished copy, empty, for a ``with`` block; wait for whoever holds it now."""
        path = self._path(wanted)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        descriptor = self._hold(part)
        try:
            os.ftruncate(descriptor, 0)
            yield part
        finally:
            os.close(descriptor)

    def _hold(self, part: Path) -> int:
        give_up_at = time.monotonic() + self._wait_s
        while True:
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, part):  # not renamed or removed by the one who held it before
                    return descriptor
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    os.close(descriptor)
                    raise NotCached from None
                time.sleep(_POLL_S)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _fill(self, part: Path, wanted: Wanted, source: Source) -> BufferedReader:
        """Write the file while its lock is held by the caller; what is not right is nobody's."""
        self._make_room(wanted.size_bytes)
        try:
            with part.open("r+b") as file, source() as pieces:
                for piece in pieces:
                    file.write(piece)
            whole = part.open("rb")
            if not _is_right(whole, wanted):
                whole.close()
                raise NotCached
            part.rename(self._path(wanted))
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        return whole

    # --- room ---------------------------------------------------------------------------------------------------------

    def _make_room(self, size_bytes: int) -> None:
        """Remove what was not used for longest; looking at all files is left out while there is room enough."""
        with self._lock:
            self._unseen -= size_bytes
            if self._unseen >= 0:
                return
            files = self._files()
            held = sum(size for _, size, _ in files) + size_bytes
            if held > self._budget:
                held -= _remove_oldest(files, held - int(self._budget * _ENOUGH))
            if held > self._budget:
                raise NotCached
            self._unseen = int((self._budget - held) * _SHARE_UNSEEN)

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return when each file was last used (seconds since 1970), its bytes and its path."""
        found = []
        for folder in _scan(self._root):
            for entry in _scan(Path(folder.path)) if folder.is_dir(follow_symlinks=False) else ():
                with suppress(FileNotFoundError):
                    facts = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(facts.st_mode):
                        found.append((facts.st_mtime, facts.st_size, Path(entry.path)))
        return found


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _remove_oldest(files: list[tuple[float, int, Path]], enough_bytes: int) -> int:
    """Remove files until so many bytes are gone; return how many are."""
    gone = 0
    for _, size, path in sorted(files):
        if gone >= enough_bytes:
            break
        gone += size if _remove(path) else 0
    return gone


def _remove(path: Path) -> bool:
    """Remove a file, unless it is being fetched; those who have it open read on. Strangers are left alone."""
    if _UNFINISHED.fullmatch(path.name):
        return _remove_unfinished(path)
    if _NAME.fullmatch(path.name) is None:
        return False
    path.unlink(missing_ok=True)
    return True


def _remove_unfinished(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its maker is dead
        path.unlink()
        return True
    return False


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _is_right(file: BufferedReader, wanted: Wanted) -> bool:
    """Say whether an open file is the one that was stored; it is at its beginning afterwards."""
    if os.fstat(file.fileno()).st_size != wanted.size_bytes:
        return False
    try:
        is_right = hashlib.file_digest(file, "sha256").hexdigest() == wanted.sha256
        file.seek(0)
    except OSError:  # a bad disk
        return False
    return is_right


def _touch(file: BufferedReader) -> None:
    if time.time() - os.fstat(file.fileno()).st_mtime > _TOUCH_EVERY_S:
        with suppress(OSError):
            os.utime(file.fileno())


@contextmanager
def pieces_of(file: BufferedReader) -> Iterator[Iterator[bytes]]:
    """Stream an open file from where it stands, in pieces of at most 1 MiB, and close it."""
    with closing(file):
        yield iter(lambda: file.read(CHUNK_BYTES), b"")
