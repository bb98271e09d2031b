"""The bytes of a model as a descriptor that can be handed to a model process without a second copy."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4 | 0x8
"""``F_ADD_SEALS``; no more seals, no shrinking, growing or writing (``linux/fcntl.h``)."""


class ModelSource:
    """A read-only descriptor: of a file as it lies on disk, or of sealed memory.

    ``is_trained`` says that the bytes were verified to be of our own making; anyone else's open in the full jail only.
    """

    def __init__(self, data: bytes | bytearray | memoryview | Path | int, *, is_trained: bool = False) -> None:
        self.is_trained = is_trained
        if isinstance(data, int):
            self.descriptor = os.dup(data)
        elif isinstance(data, Path):
            self.descriptor = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
        else:
            self.descriptor = _sealed(memoryview(data))

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return os.fstat(self.descriptor).st_size

    def head(self, size: int) -> bytes:
        """Return its first bytes."""
        return os.pread(self.descriptor, size, 0)

    def close(self) -> None:
        """Close the descriptor; once."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def _sealed(view: memoryview) -> int:
    descriptor = os.memfd_create("model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        written = 0
        while written < len(view):
            written += os.write(descriptor, view[written : written + (1 << 30)])
        fcntl.fcntl(descriptor, _ADD_SEALS, _SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
