"""What a model process may not do, by means of the kernel that need neither root nor packages.

Death with the parent, no new privileges, no capabilities, no look into its memory, limits of resources, Landlock, and
last the filter of system calls. Each layer holds where another fails.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from functools import lru_cache
from pathlib import Path

from modelpool.core.lifetime import die_with_parent
from modelpool.core.runtime.jail import landlock, seccomp
from modelpool.core.runtime.jail.layers import ENVIRONMENT, LEAKING, probe_layers

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION = 0x2008_0522
"""``linux/prctl.h``, ``linux/capability.h``."""

_PSEUDO_FILES = (
    "/proc/self",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
    "/etc/localtime",
)
"""Kernel files that thread pools and allocators read."""

_MAX_TASKS = 4096
"""Of the server's user in all: threads that a hostile model starts end there, before the machine's numbers do."""

_libc = ctypes.CDLL(None, use_errno=True)


class NotConfined(Exception):
    """A layer that is required is not there; the process must not open anything."""


def enter(*, memory_bytes: int, cpu_seconds: int | None, parent_pid: int, requires_all: bool = True) -> None:
    """Restrict this process for good; raise :class:`NotConfined` without a layer, unless ``requires_all`` is false.

    ``memory_bytes`` is what it may take beyond the address space it has now.
    """
    layers = probe_layers()
    if requires_all and layers.problem:
        raise NotConfined(layers.problem)
    die_with_parent(parent_pid)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    readable = readable_places()
    _limit(memory_bytes=memory_bytes, cpu_seconds=cpu_seconds)
    if os.environ.get(ENVIRONMENT) == LEAKING:
        return
    _drop_capabilities()
    if layers.landlock:
        landlock.restrict(readable)
    if layers.has_seccomp:
        seccomp.install()


def _limit(*, memory_bytes: int, cpu_seconds: int | None) -> None:
    _, most_tasks = resource.getrlimit(resource.RLIMIT_NPROC)
    limits = [
        (resource.RLIMIT_AS, _address_space() + memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NPROC, _MAX_TASKS if most_tasks == resource.RLIM_INFINITY else min(most_tasks, _MAX_TASKS)),
    ]
    for what, value in limits:
        resource.setrlimit(what, (value, value))
    if cpu_seconds is not None:  # at the first SIGXCPU, which names the reason; at the second SIGKILL
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


def _drop_capabilities() -> None:
    """Have no rights beyond the user's, where the server runs as root against all advice."""
    number = _CAPSET.get(os.uname().machine)
    if number is not None:
        _libc.syscall(number, struct.pack("Ii", _CAPABILITY_VERSION, 0), bytes(24))


def _address_space() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


@lru_cache(maxsize=1)
def readable_places() -> tuple[str, ...]:
    """Return what a model process may read: libraries, and some files of the kernel; found once, before the forks."""
    folders = [*sys.path, sys.prefix, sys.base_prefix, "/lib", "/lib64", "/usr/lib"]
    found = {os.path.realpath(folder) for folder in folders if folder and os.access(folder, os.R_OK)} - {"/"}
    return (*sorted(found), *_PSEUDO_FILES)
