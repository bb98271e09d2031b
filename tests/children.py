"""Forked children of a test: how they end, and how much memory they took."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
CONSTANT_BYTES = 64 * MIB
"""What "constant memory" may grow by, however large a file is."""
_GREW = 3


def peak_bytes() -> int:
    """Return the most memory that this process ever had."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def in_child(call: Callable[[], object]) -> int:
    """Return how a child ended that made this call: 0 when it returned, 1 when it raised, the signal's negative."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            call()
            status = 0
        except SystemExit as error:
            status = int(error.code or 0)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check_memory_is_constant(call: Callable[[], object]) -> None:
    """Make the call in a child, and fail when it raises or its memory grows by :data:`CONSTANT_BYTES`."""

    def measured() -> None:
        before = peak_bytes()
        call()
        if peak_bytes() - before >= CONSTANT_BYTES:
            raise SystemExit(_GREW)

    status = in_child(measured)
    assert status != _GREW, f"memory grew by {CONSTANT_BYTES // MIB} MiB or more"
    assert status == 0, f"the child ended with {status}"
