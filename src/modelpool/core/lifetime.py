"""Processes that end with the process that started them, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""``linux/prctl.h``."""


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends; elsewhere than on Linux it is only looked for now.

    ``parent_pid`` is who started us: when it is gone already, this process ends at once. Raises :class:`OSError` where
    the kernel refuses.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_SET_PDEATHSIG failed")
    if os.getppid() != parent_pid:  # it died before the line above
        os._exit(1)
