"""Numbers of the system calls that a model process may use, by machine.

From ``asm/unistd_64.h`` and ``asm-generic/unistd.h``; ``ABSENT`` where a machine has none. A test compares them
with libseccomp's tables where that library is installed.
"""

from __future__ import annotations

ABSENT = -1

NUMBERS: dict[str, tuple[int, int]] = {
    # reading of files that Landlock lets through, and of the one socket
    "read": (0, 63), "readv": (19, 65), "pread64": (17, 67), "close": (3, 57), "close_range": (436, 436),
    "lseek": (8, 62), "fstat": (5, 80), "stat": (4, ABSENT), "lstat": (6, ABSENT), "newfstatat": (262, 79),
    "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44), "access": (21, ABSENT), "faccessat": (269, 48),
    "faccessat2": (439, 439), "readlink": (89, ABSENT), "readlinkat": (267, 78), "getdents64": (217, 61),
    "getcwd": (79, 17), "dup": (32, 23), "fcntl": (72, 25), "ioctl": (16, 29), "open": (2, ABSENT),
    "openat": (257, 56), "openat2": (437, 437),
    # the socket
    "write": (1, 64), "writev": (20, 66), "recvfrom": (45, 207), "recvmsg": (47, 212), "sendto": (44, 206),
    "sendmsg": (46, 211), "shutdown": (48, 210), "getsockopt": (55, 209), "getsockname": (51, 204),
    "getpeername": (52, 205),
    # waiting
    "poll": (7, ABSENT), "ppoll": (271, 73), "select": (23, ABSENT), "pselect6": (270, 72), "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21), "epoll_wait": (232, ABSENT), "epoll_pwait": (281, 22), "eventfd2": (290, 19),
    "pipe2": (293, 59), "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "restart_syscall": (219, 128),
    # memory
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226), "madvise": (28, 233),
    "brk": (12, 214), "get_mempolicy": (239, 236), "membarrier": (324, 283),
    # threads and signals within the process
    "futex": (202, 98), "set_robust_list": (273, 99), "get_robust_list": (274, 100), "rseq": (334, 293),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "sched_setaffinity": (203, 122),
    "sched_getparam": (143, 121), "sched_getscheduler": (145, 120), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136), "sigaltstack": (131, 132),
    "kill": (62, 129), "tgkill": (234, 131), "clone": (56, 220), "clone3": (435, 435), "exit": (60, 93),
    "exit_group": (231, 94),
    # questions
    "gettid": (186, 178), "getpid": (39, 172), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getpgrp": (111, ABSENT), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, ABSENT), "times": (100, 153),
    "getrusage": (98, 165), "getrlimit": (97, 163), "prlimit64": (302, 261), "prctl": (157, 167),
    "getrandom": (318, 278), "uname": (63, 160), "sysinfo": (99, 179), "getcpu": (309, 168),
}  # fmt: skip
"""Name → number on x86-64, on 64-bit Arm."""

MACHINES: dict[str, tuple[int, int]] = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}
"""``os.uname().machine`` → column of :data:`NUMBERS`, and the word by which the kernel names the machine to filters
(``linux/audit.h``)."""


def number_of(name: str, machine: str) -> int | None:
    """Return the number, ``None`` where that machine has no such call."""
    number = NUMBERS[name][MACHINES[machine][0]]
    return None if number == ABSENT else number
