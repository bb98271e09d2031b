"""The values of one process's metrics, in a file that it maps: other processes read it, also when this one is dead.

A file is a header and records. A record is a key, padding, and 64-bit floats at its end, all aligned to eight bytes, so
that a value is never seen half written. A record that is no longer wanted is used again for one of the same size.

The disk's blocks are taken before they are written: a page that the disk has no room for would end the process.
Where there is no room a record has no place, and what is counted in it is not seen.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

_MAGIC = b"MPSAMPL1"
_HEADER = struct.Struct("<8sQ")  # magic, bytes used
_USED = struct.Struct("<Q")
_RECORD = struct.Struct("<IHHQ")  # bytes of the whole record, of its key, number of values, is it alive
_ALIVE_AT = 8  # within a record
_GRAIN = 64
_FIRST_BYTES = 64 * 1024

NOWHERE = -1
"""Where a record is that the disk has no room for."""


class SampleFile:
    """Records that this process alone writes; without a path they are memory that nobody else sees. Not thread-safe.

    Making one raises :class:`OSError` where the disk is full.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._free: dict[tuple[int, int], list[int]] = {}
        self._used = _HEADER.size
        if path is None:
            # shared memory without a name cannot grow: what is beyond its end may not be touched
            self._map = mmap.mmap(-1, _FIRST_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _FIRST_BYTES)
                self._map = mmap.mmap(descriptor, _FIRST_BYTES)
            except OSError:
                path.unlink()
                raise
            finally:
                os.close(descriptor)
        self._map[: _HEADER.size] = _HEADER.pack(_MAGIC, self._used)

    def add(self, key: bytes, values: Sequence[float]) -> int:
        """Add a record, and return where it is; :data:`NOWHERE` where the disk is full."""
        size = -(-(_RECORD.size + len(key) + 8 * len(values)) // _GRAIN) * _GRAIN
        free = self._free.get((size, len(values)))
        at = free.pop() if free else self._extend(size)
        if at == NOWHERE:
            return at
        self._map[at : at + _RECORD.size] = _RECORD.pack(size, len(key), len(values), 0)
        self._map[at + _RECORD.size : at + _RECORD.size + len(key)] = key
        self.write(at, values)
        self._map[at + _ALIVE_AT : at + _RECORD.size] = _USED.pack(1)
        return at

    def write(self, at: int, values: Sequence[float]) -> None:
        """Write all values of the record at ``at``."""
        if at == NOWHERE:
            return
        size = int.from_bytes(self._map[at : at + 4], "little")
        begin = at + size - 8 * len(values)
        self._map[begin : at + size] = struct.pack(f"<{len(values)}d", *values)

    def remove(self, at: int) -> None:
        """Give a record back."""
        if at == NOWHERE:
            return
        size, _, count, _ = _RECORD.unpack_from(self._map, at)
        self._map[at + _ALIVE_AT : at + _RECORD.size] = _USED.pack(0)
        self._free.setdefault((size, count), []).append(at)

    def records(self) -> Iterator[tuple[bytes, tuple[float, ...]]]:
        """Yield keys and values."""
        return _records(self._map[: self._used])

    def close(self) -> None:
        """Let go of the memory; the file stays."""
        self._map.close()

    def _extend(self, size: int) -> int:
        at = self._used
        while at + size > len(self._map):
            if not self._grow(2 * len(self._map)):
                return NOWHERE
        self._map[at : at + _RECORD.size] = _RECORD.pack(size, 0, 0, 0)
        self._used = at + size
        self._map[8 : _HEADER.size] = _USED.pack(self._used)
        return at

    def _grow(self, n_bytes: int) -> bool:
        """Make the file longer; say whether the disk has room."""
        if self._path is not None:
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                return False
            try:
                os.posix_fallocate(descriptor, len(self._map), n_bytes - len(self._map))
            except OSError:
                return False
            finally:
                os.close(descriptor)
        self._map.resize(n_bytes)
        return True


def read_records(path: Path) -> Iterator[tuple[bytes, tuple[float, ...]]]:
    """Yield keys and values of another process's file as it is now; nothing for one that is not whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return iter(())
    return _records(data)


def _records(data: bytes) -> Iterator[tuple[bytes, tuple[float, ...]]]:
    if len(data) < _HEADER.size:
        return
    magic, used = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        return
    at, end = _HEADER.size, min(used, len(data))
    while at + _RECORD.size <= end:
        size, key_length, count, is_alive = _RECORD.unpack_from(data, at)
        if size < _RECORD.size + key_length + 8 * count or at + size > end:
            return
        if is_alive:
            begin = at + size - 8 * count
            key = data[at + _RECORD.size : at + _RECORD.size + key_length]
            yield key, struct.unpack_from(f"<{count}d", data, begin)
        at += size
