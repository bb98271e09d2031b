"""What every child process does first, and how the supervisor starts one. Imports nothing of Django."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
EXIT_CONFIGURATION = 78
"""``EX_CONFIG``: starting again will not help."""


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that ends; Linux only, elsewhere nothing happens.

    ``parent`` is who started us: when it is gone already, this process ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def raise_file_limit() -> None:
    """Take as many open files as the system lets this user have: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536, hard))
