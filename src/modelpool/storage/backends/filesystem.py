"""Objects as files: ``root/<tenant id>/<artifact id>``, on a local disk or over NFS.

No locks (they are not shared by every mount), no change in place, nothing ever overwritten: readers see whole files
only. Folders are opened component by component without following links, and anew for each use: that makes a client of
NFS ask its server what is in them, rather than believe for half a minute that a new file is not there.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from modelpool.core.artifacts import CHUNK_BYTES, ArtifactStore, ObjectMissing, StoredBytes, StoredObject, check_key
from modelpool.storage.backends.marker import FOLDER_MODE, OPEN_FOLDER, MarkedRoot, MarkRecord, Unrecorded
from modelpool.storage.backends.mounts import check_mount
from modelpool.storage.backends.os_errors import translated
from modelpool.storage.backends.private_file import FILE_MODE, PRIVATE_NAME, PrivateFile
from modelpool.storage.failpoints import reach

_NAME = re.compile(r"[0-9a-f]{32}")


class FilesystemStore(ArtifactStore):
    """Keeps objects below ``root``; ``record`` remembers which volume belongs there."""

    def __init__(self, root: Path, *, record: MarkRecord | None = None) -> None:
        self._root = MarkedRoot(root, record or Unrecorded())

    def put(self, key: str, chunks: Iterable[bytes]) -> StoredBytes:
        """Write a private file, make it durable, then link it to its name."""
        tenant, name = check_key(key).split("/")
        with self._folder(tenant, create=True) as folder:
            if _stat(folder, name) is not None:
                raise FileExistsError(key)
            with PrivateFile(folder, name) as file:
                for chunk in chunks:
                    file.write(chunk)
                    reach("artifact.chunk")
                return file.publish()

    @contextmanager
    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        """Stream from an open descriptor: removing the object meanwhile does no harm."""
        descriptor = self._open_file(check_key(key))
        try:
            yield _pieces(descriptor, start, stop)
        finally:
            os.close(descriptor)

    def stat(self, key: str) -> StoredObject:
        """Ask the file system."""
        tenant, name = check_key(key).split("/")
        try:
            with self._folder(tenant) as folder:
                found = _stat(folder, name)
        except FileNotFoundError:
            found = None
        if found is None:
            raise ObjectMissing(f"The artifact store has no object {key}.")
        return _describe(key, found)

    @contextmanager
    def open_foreign(self, path: str) -> Iterator[Iterator[bytes]]:
        """Go down folder by folder; a link on the way, or at its end, is as if nothing were there."""
        *folders, name = path.split("/")
        with ExitStack() as stack:
            folder = stack.enter_context(self._root.opened())
            try:
                with translated("open a file"):
                    for part in folders:
                        folder = _open_unlinked(part, OPEN_FOLDER, folder=folder)
                        stack.callback(os.close, folder)
                    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                    descriptor = _open_unlinked(name, flags, folder=folder)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise ObjectMissing(f"The store has no file {path!r}.") from error
            stack.callback(os.close, descriptor)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ObjectMissing(f"What the store has as {path!r} is not a file.")
            yield _pieces(descriptor, 0, None)

    def delete(self, key: str) -> None:
        """Remove the name; those who have it open read on."""
        tenant, name = check_key(key).split("/")
        try:
            with self._folder(tenant) as folder, translated("delete a file"):
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
        except FileNotFoundError:
            return

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Walk the folders in order; private and foreign names (``.nfs…``) are passed over."""
        for tenant in self._tenants():
            if not tenant.startswith(prefix[:32]):
                continue
            for name, found in self._files(tenant):
                key = f"{tenant}/{name}"
                if _NAME.fullmatch(name) and stat.S_ISREG(found.st_mode) and key.startswith(prefix):
                    yield _describe(key, found)

    def check(self) -> None:
        """See the marker and how it is mounted, then write and remove a file."""
        with self._root.opened() as root:
            check_mount(root)
            with PrivateFile(root, "check") as file:
                file.write(b"ok")

    def local_path(self, key: str) -> Path | None:
        """Return the file's own path."""
        self.stat(key)
        return self._root.path / key

    def sweep_partial(self, *, older_than_s: float) -> int:
        """Remove private files that were not written to for ``older_than_s``, by the clock of the file system."""
        limit = self._clock() - older_than_s
        removed = self._sweep_folder(None, limit)
        return removed + sum(self._sweep_folder(tenant, limit) for tenant in self._tenants())

    def _sweep_folder(self, tenant: str | None, limit: float) -> int:
        removed = 0
        for name, found in tuple(self._files(tenant)):
            if PRIVATE_NAME.fullmatch(name) and found.st_mtime < limit:
                with self._folder(tenant) as folder, translated("delete a file"):
                    removed += _unlink(folder, name)
        return removed

    def _open_file(self, key: str) -> int:
        tenant, name = key.split("/")
        try:
            with self._folder(tenant) as folder, translated("open a file"):
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError as error:
            raise ObjectMissing(f"The artifact store has no object {key}.") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ObjectMissing(f"What the artifact store has under {key} is not a file.")
        return descriptor

    @contextmanager
    def _folder(self, tenant: str | None, *, create: bool = False) -> Iterator[int]:
        """Open a tenant's folder, or the root for ``None``; ``FileNotFoundError`` when there is none."""
        with self._root.opened() as root:
            if tenant is None:
                yield root
                return
            with translated("open a folder"):
                folder = _open_folder(root, tenant, create=create)
        try:
            yield folder
        finally:
            os.close(folder)

    def _tenants(self) -> tuple[str, ...]:
        with self._root.opened() as root, translated("list its folder"):
            return tuple(sorted(name for name in os.listdir(root) if _NAME.fullmatch(name)))  # noqa: PTH208 - of a handle

    def _files(self, tenant: str | None) -> Iterator[tuple[str, os.stat_result]]:
        try:
            with self._folder(tenant) as folder:
                with translated("list a folder"):
                    names = sorted(os.listdir(folder))  # noqa: PTH208 - of a handle
                for name in names:
                    if (found := _stat(folder, name)) is not None:
                        yield name, found
        except FileNotFoundError:
            return

    def _clock(self) -> float:
        """What time it is where the files are: on NFS not this machine's clock."""
        name = f".clock.{secrets.token_hex(8)}.part"
        with self._root.opened() as root, translated("create a file"):
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE, dir_fd=root)
            try:
                return os.fstat(descriptor).st_mtime
            finally:
                os.close(descriptor)
                _unlink(root, name)


def _open_folder(root: int, name: str, *, create: bool) -> int:
    try:
        return os.open(name, OPEN_FOLDER, dir_fd=root)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, FOLDER_MODE, dir_fd=root)
    os.fsync(root)
    return os.open(name, OPEN_FOLDER, dir_fd=root)


def _open_unlinked(name: str, flags: int, *, folder: int) -> int:
    """Open what is no link; ``FileNotFoundError`` for one, and for names that no waiting would make right."""
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error
        raise


def _stat(folder: int, name: str) -> os.stat_result | None:
    try:
        with translated("look at a file"):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _unlink(folder: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def _describe(key: str, found: os.stat_result) -> StoredObject:
    return StoredObject(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _pieces(descriptor: int, start: int, stop: int | None) -> Iterator[bytes]:
    position = start
    while stop is None or position < stop:
        wanted = CHUNK_BYTES if stop is None else min(CHUNK_BYTES, stop - position)
        with translated("read a file"):
            piece = os.pread(descriptor, wanted, position)
        if not piece:
            return
        position += len(piece)
        yield piece
