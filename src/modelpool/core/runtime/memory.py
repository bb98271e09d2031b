"""What memory this process and its children take, and giving it back; without glibc and Linux it says nothing."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

VMSTAT = Path("/proc/vmstat")

_SAMPLE_PAUSE_S = 0.1
_WEIGHT = 0.1  # of the newest sample in the running ratio
_NOT_MEASURED = 4
_TRUSTED_BYTES = 1 << 20  # what other threads allocate meanwhile is less


class _MallocInfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
        )
    ]  # fmt: skip


def _glibc(name: str, *, result: Any = ctypes.c_int, arguments: tuple[Any, ...] = ()) -> Any:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    function.restype, function.argtypes = result, arguments
    return function


_mallinfo2 = _glibc("mallinfo2", result=_MallocInfo)
_malloc_trim = _glibc("malloc_trim", arguments=(ctypes.c_size_t,))


def allocated_bytes() -> int | None:
    """Return what is allocated now by ``malloc`` in all threads, ``None`` where it cannot be told; some 10 µs."""
    if _mallinfo2 is None:
        return None
    info = _mallinfo2()
    return int(info.uordblks + info.hblkhd)


def trim_heap() -> None:
    """Give what was freed back to the system; some 0.5 ms for 64 MiB, without the interpreter's lock."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def resident_bytes() -> int | None:
    """Return this process's resident memory but for mapped files and shared memory; ``None`` where it is not told."""
    try:
        fields = Path("/proc/self/statm").read_text().split()
    except OSError:
        return None
    return (int(fields[1]) - int(fields[2])) * mmap.PAGESIZE


def private_bytes(pid: int) -> int | None:
    """Return the memory that a process shares with no other; ``None`` where it is gone or may not be looked into.

    Pages that a fork has in common with its parent are not counted until one of them writes to them.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) << 10


def kills_for_memory() -> int:
    """Return how many processes the kernel has killed, here or in a container, as there was no memory left."""
    try:
        lines = VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def own_private_bytes() -> int:
    """Return the memory that this process shares with no other; on kernels that do not tell, what it has resident."""
    found = private_bytes(os.getpid())
    return (resident_bytes() or 0) if found is None else found


class LoadMeter:
    """Corrects what models say of their memory by what their loads really allocate.

    A load is measured when no other one runs, and at most ten times a second; the ratio of what was allocated to what
    was said holds for all others. The first ones are not: with them libraries make what they need once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._starts = 0
        self._next_at = 0.0
        self.ratio = 1.0

    def measure(self, load: Callable[[], T], *, said: Callable[[T], int]) -> tuple[T, int]:
        """Return what ``load`` gives, and its size in bytes."""
        with self._lock:
            self._running += 1
            self._starts += 1
            start = self._starts
            is_sample = self._running == 1 and start > _NOT_MEASURED and time.monotonic() >= self._next_at
        try:
            before = allocated_bytes() if is_sample else None
            item = load()
            after = allocated_bytes() if before is not None else None
        finally:
            with self._lock:
                self._running -= 1
                is_sample = is_sample and self._starts == start
        if before is None or after is None or not is_sample:
            return item, int(said(item) * self.ratio)
        return item, self._learn(after - before, said=said(item))

    def _learn(self, grown: int, *, said: int) -> int:
        ratio = min(max(grown / max(said, 1), 0.5), 4.0)
        with self._lock:
            self.ratio += _WEIGHT * (ratio - self.ratio)
            self._next_at = time.monotonic() + _SAMPLE_PAUSE_S
        return grown if grown > _TRUSTED_BYTES else int(said * self.ratio)
