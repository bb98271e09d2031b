"""What the running kernel offers for confining processes."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_VERSION = 1


def landlock_abi() -> int:
    """Return the version of Landlock's interface, 0 where there is none (landlock(7))."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return max(
        0, int(libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_LANDLOCK_VERSION)))
    )


def seccomp_is_available() -> bool:
    """Say whether system calls can be filtered (seccomp(2))."""
    return Path("/proc/sys/kernel/seccomp/actions_avail").exists()
