"""The filter of system calls: its numbers are the kernel's, and its program answers as the rules say."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

import pytest

from modelpool.core.runtime.jail import seccomp
from modelpool.core.runtime.jail.bpf import RET_ALLOW, RET_ERRNO, RET_KILL_PROCESS
from modelpool.core.runtime.jail.syscalls import ABSENT, MACHINES, NUMBERS, number_of

OWN_PID = 4321
REFUSED, UNKNOWN = RET_ERRNO | errno.EPERM, RET_ERRNO | errno.ENOSYS
EXECUTABLE, WRITABLE, ANONYMOUS = 4, 2, 0x20


def _answer(machine: str, number: int, *arguments: int, word: int | None = None) -> int:
    """Run the program as the kernel does (Documentation/networking/filter.rst)."""
    code = seccomp.make_filter(machine).for_process(OWN_PID)
    lines = [struct.unpack_from("<HBBI", code, at) for at in range(0, len(code), 8)]
    given = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, MACHINES[machine][1] if word is None else word, 0, *given)
    at = accumulator = 0
    while True:
        operation, on_true, on_false, value = lines[at]
        at += 1
        if operation == 0x06:
            return int(value)
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
            at += on_true if holds else on_false


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_those_of_libseccomp(machine: str, name: str) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("libseccomp is not installed")
    found = library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(MACHINES[machine][1]), name.encode())
    assert NUMBERS[name][MACHINES[machine][0]] == max(found, ABSENT)


@pytest.mark.parametrize("machine", MACHINES)
def test_other_machines_and_x32_are_killed(machine: str) -> None:
    assert _answer(machine, 0, word=0x4000_0003) == RET_KILL_PROCESS
    assert _answer(machine, 0x4000_0000 | 1) == RET_KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES)
def test_what_has_no_rule_is_refused(machine: str) -> None:
    allowed = {number_of(name, machine) for name in NUMBERS}
    for number in range(512):
        if number not in allowed:
            assert _answer(machine, number) == REFUSED, number


CASES: list[tuple[str, tuple[int, ...], int]] = [
    ("read", (0,), RET_ALLOW),
    ("openat", (0, 0, os.O_RDONLY | os.O_CLOEXEC), RET_ALLOW),
    *[("openat", (0, 0, flag), REFUSED) for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC)],
    ("openat2", (), UNKNOWN),
    ("clone3", (), UNKNOWN),
    ("clone", (0x3D0F00,), RET_ALLOW),
    ("clone", (0x11,), REFUSED),
    ("clone", (0x4111,), REFUSED),
    *[("clone", (0x3D0F00 | 1 << bit,), REFUSED) for bit in (13, 17, 25, 26, 27, 28, 29, 30)],
    ("kill", (OWN_PID, 9), RET_ALLOW),
    ("kill", (OWN_PID + 1, 9), REFUSED),
    ("kill", (0, 9), REFUSED),
    ("kill", (0xFFFF_FFFF, 9), REFUSED),
    ("tgkill", (OWN_PID, OWN_PID, 6), RET_ALLOW),
    ("tgkill", (1, 1, 6), REFUSED),
    ("mmap", (0, 4096, WRITABLE, ANONYMOUS), RET_ALLOW),
    ("mmap", (0, 4096, 1 | EXECUTABLE, 2), RET_ALLOW),
    ("mmap", (0, 4096, 1 | EXECUTABLE, ANONYMOUS), REFUSED),
    ("mmap", (0, 4096, WRITABLE | EXECUTABLE, 2), REFUSED),
    ("mprotect", (0, 4096, 1), RET_ALLOW),
    ("mprotect", (0, 4096, 1 | EXECUTABLE), REFUSED),
    ("futex", (0, 128), RET_ALLOW),
    ("futex", (0, 137 | 256), RET_ALLOW),
    ("futex", (0, 6), REFUSED),
    ("fcntl", (3, 1), RET_ALLOW),
    ("fcntl", (3, 8), REFUSED),
    ("ioctl", (0, 0x5421), RET_ALLOW),
    ("ioctl", (0, 0x5412), REFUSED),
    ("prctl", (15,), RET_ALLOW),
    ("prctl", (4, 1), REFUSED),
    ("prctl", (22,), REFUSED),
    ("prlimit64", (0, 7, 0, 4096), RET_ALLOW),
    ("prlimit64", (0, 7, 4096, 0), REFUSED),
    ("prlimit64", (0, 7, 1 << 32, 0), REFUSED),
    ("prlimit64", (1, 7, 0, 4096), REFUSED),
    ("sendto", (3, 4096, 1, 0, 0), RET_ALLOW),
    ("sendto", (3, 4096, 1, 0, 1 << 32), REFUSED),
    ("sched_setaffinity", (0,), RET_ALLOW),
    ("sched_setaffinity", (1,), REFUSED),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_arguments_decide(machine: str, name: str, arguments: tuple[int, ...], expected: int) -> None:
    number = number_of(name, machine)
    assert number is not None
    assert _answer(machine, number, *arguments) == expected


def test_program_is_short_enough_for_the_kernel() -> None:
    for machine in MACHINES:
        assert len(seccomp.make_filter(machine).code) // 8 <= 4096
