"""Processes that end with the tests, however these end."""

from __future__ import annotations

import ctypes
import os
import signal
import socket

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """For ``preexec_fn``: have the kernel send SIGQUIT when the thread that started this process is gone.

    To PostgreSQL SIGQUIT means to end at once, with all its children; for other programs it is deadly as well.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)


def inherited_environment() -> dict[str, str]:
    """Return our environment without what concerns the tests' own home and database."""
    own = ("MODELPOOL_", "DJANGO_", "PYTEST_", "PROMETHEUS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def free_port() -> int:
    """Return a port of this machine that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
