"""The filter of system calls that every model process installs last, after Landlock.

Default: refused with ``EPERM``, politely, since libraries probe for what they can do without. Threads may be started,
processes not; files opened for reading only; nothing but the process itself can be signalled, limited or scheduled; no
memory becomes executable except from a library's file. A system call of another machine or of x32 ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from functools import lru_cache

from modelpool.core.runtime.jail.bpf import (
    OWN_PID,
    RET_ERRNO,
    AllBits,
    Condition,
    NoBits,
    Null,
    OneOf,
    Program,
    Rule,
    assemble,
)
from modelpool.core.runtime.jail.syscalls import MACHINES, NUMBERS, number_of

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _GET_ACTION_AVAILABLE, _ALL_THREADS = 1, 2, 1
_HIGHEST = 0x3FFF_FFFF  # x32 sets bit 30

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PROT_WRITE, _PROT_EXEC, _MAP_ANONYMOUS = 2, 4, 0x20
_THREAD = 0x0001_0000 | 0x100 | 0x800
"""``CLONE_THREAD``, which needs ``CLONE_VM`` and ``CLONE_SIGHAND`` (clone(2))."""
_NEW_OR_TRACED = 0x7E02_0000 | 0x2000
"""``CLONE_NEWNS``, ``NEWCGROUP``, ``NEWUTS``, ``NEWIPC``, ``NEWUSER``, ``NEWPID``, ``NEWNET`` and ``CLONE_PTRACE``."""

_FUTEX_OPERATIONS = tuple(op | flags for op in (0, 1, 3, 4, 5, 9, 10) for flags in (0, 128, 256, 384))
"""Wait, wake and requeue; none that inherit priorities, which have let programs into the kernel before."""
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)
"""Duplicate, and the flags of a descriptor; neither locks nor who is told of input."""
_IOCTL_COMMANDS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Ask a terminal, count what can be read, blocking, closing at execution; nothing that types into a terminal."""
_PRCTL_OPTIONS = (3, 15, 16, 39, 0x5356_4D41)
"""Ask whether the process is dumpable, may gain privileges; name threads and memory."""

_CONDITIONS: dict[str, tuple[tuple[Condition, ...], ...]] = {
    "open": ((NoBits(1, _WRITING),),),
    "openat": ((NoBits(2, _WRITING),),),
    "mmap": ((NoBits(2, _PROT_EXEC),), (NoBits(2, _PROT_WRITE), NoBits(3, _MAP_ANONYMOUS))),
    "mprotect": ((NoBits(2, _PROT_EXEC),),),
    "clone": ((AllBits(0, _THREAD), NoBits(0, _NEW_OR_TRACED)),),
    "futex": ((OneOf(1, _FUTEX_OPERATIONS),),),
    "fcntl": ((OneOf(1, _FCNTL_COMMANDS),),),
    "ioctl": ((OneOf(1, _IOCTL_COMMANDS),),),
    "prctl": ((OneOf(0, _PRCTL_OPTIONS),),),
    "kill": ((OneOf(0, (OWN_PID,)),),),
    "tgkill": ((OneOf(0, (OWN_PID,)),),),
    "sched_setaffinity": ((OneOf(0, (0,)),),),
    "prlimit64": ((OneOf(0, (0,)), Null(2)),),
    "sendto": ((Null(4),),),
}
_ABSENT = ("clone3", "openat2")
"""Answered as by an older kernel, so that libraries fall back to what can be filtered: their flags lie in memory."""


def is_available() -> bool:
    """Say whether this kernel filters system calls, on a machine whose numbers are known."""
    machine = os.uname().machine
    if not sys.platform.startswith("linux") or machine not in MACHINES or sys.maxsize < 1 << 32:
        return False
    action = ctypes.c_uint32(RET_ERRNO)
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(_SECCOMP[machine], _GET_ACTION_AVAILABLE, 0, ctypes.byref(action))) == 0


@lru_cache(maxsize=2)
def make_filter(machine: str) -> Program:
    """Return the program; made once in the process that model processes are forked from."""
    rules = []
    for name in NUMBERS:
        number = number_of(name, machine)
        if number is not None:
            rules.append(_rule(name, number))
    return assemble(rules, machine=MACHINES[machine][1], highest=_HIGHEST, otherwise=RET_ERRNO | errno.EPERM)


def _rule(name: str, number: int) -> Rule:
    if name in _ABSENT:
        return Rule(number, otherwise=RET_ERRNO | errno.ENOSYS)
    if name in _CONDITIONS:
        return Rule(number, _CONDITIONS[name], otherwise=RET_ERRNO | errno.EPERM)
    return Rule(number)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def install() -> None:
    """Filter this process and all its threads from now on, for good; needs ``PR_SET_NO_NEW_PRIVS``."""
    machine = os.uname().machine
    code = make_filter(machine).for_process(os.getpid())
    program = _FilterProgram(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SECCOMP[machine], _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "the filter of system calls cannot be installed")
