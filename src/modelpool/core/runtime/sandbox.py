"""What a model process may not do, by means of the kernel that need neither root nor packages.

Resource limits, no new privileges, death with the parent, and Landlock (Linux 5.13 and later): no files but the
libraries, no writing, no execution, no TCP, no signals to others. The system-call filter comes after :func:`_landlock`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIR = 4, 8
"""``linux/prctl.h``, ``linux/landlock.h``; the system calls have the same numbers on every architecture."""

_PSEUDO_FILES = (
    "/proc/self",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
    "/etc/localtime",
)
"""Kernel files that thread pools and allocators read."""

_libc = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """Return the kernel's Landlock ABI, 0 where there is none."""
    return max(int(_libc.syscall(_CREATE_RULESET, None, 0, 1)), 0)


@lru_cache(maxsize=8)
def warn_of_missing_layers(landlock: int) -> None:
    """Log, once in a process, that model processes will see files; ``landlock`` is :func:`landlock_version`."""
    if landlock == 0:
        logger.warning(
            "this kernel has no Landlock: processes that open uploaded models are held by limits of memory, time and "
            "file size only, and can read what this user can read. Use Linux 5.13 or later with Landlock enabled, or "
            "let only people upload whom you trust."
        )


def enter(*, memory_bytes: int, cpu_seconds: int | None, parent_pid: int) -> int:
    """Restrict this process for good; return the Landlock ABI in force, 0 for none.

    ``memory_bytes`` is what it may take beyond the address space it has now.
    """
    _die_with_parent(parent_pid)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    version = _landlock(_library_folders())
    _limit(memory_bytes=memory_bytes, cpu_seconds=cpu_seconds)
    return version


def _die_with_parent(parent_pid: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the line above
        os._exit(1)


def _limit(*, memory_bytes: int, cpu_seconds: int | None) -> None:
    limits = [
        (resource.RLIMIT_AS, _address_space() + memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ]
    if cpu_seconds is not None:
        limits.append((resource.RLIMIT_CPU, cpu_seconds))
    for what, value in limits:
        resource.setrlimit(what, (value, value))


def _address_space() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def private_bytes() -> int:
    """Return the memory that this process shares with no other."""
    try:
        with Path("/proc/self/smaps_rollup").open() as file:
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_"))
    except OSError:  # kernels without it: resident minus shared
        with Path("/proc/self/statm").open() as file:
            _, resident, shared, *_ = file.read().split()
        return (int(resident) - int(shared)) * resource.getpagesize()


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _library_folders() -> list[str]:
    folders = [*sys.path, sys.prefix, sys.base_prefix, "/lib", "/lib64", "/usr/lib"]
    return sorted({os.path.realpath(folder) for folder in folders if folder and Path(folder).exists()} - {"/"})


def _landlock(readable: Sequence[str]) -> int:
    version = landlock_version()
    if version == 0:
        return 0
    files = (
        (1 << 13) - 1
        | (1 << 13 if version >= 2 else 0)
        | (1 << 14 if version >= 3 else 0)
        | (1 << 15 if version >= 5 else 0)
    )
    attributes = struct.pack("QQQ", files, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    attributes = attributes[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    for path in _existing((*readable, *_PSEUDO_FILES)):
        _allow_reading(ruleset, path)
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return version


def _existing(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if Path(path).exists()]


def _allow_reading(ruleset: int, path: str) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE | _READ_DIR if Path(path).is_dir() else _READ_FILE
        _call(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
