"""What a forked process does to itself before it runs anything of a user's: own session, limits, redirected output."""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from modelpool.core.lifetime import die_with_parent
from modelpool.training.messages import Event, Task, encode_event

_ADDRESS_SLACK_BYTES = 8 << 30


class _Events:
    """Where :func:`emit` writes to, once this process is a child."""

    descriptor = -1


_EVENTS = _Events()


def enter_child(task: Task, *, events: int, output: int) -> None:
    """Become a child: it dies with the zygote, may take so much memory, and its output goes to the job's log."""
    die_with_parent(os.getppid())
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _EVENTS.descriptor = events
    _redirect(output)
    _limit(task.memory_limit_bytes)
    os.nice(task.nice)
    os.umask(0o077)
    os.chdir(task.folder)
    tempfile.tempdir = task.folder
    os.environ["TMPDIR"] = task.folder
    sys.dont_write_bytecode = True  # a trainer's file edited twice within a second must not be found in a cache
    _set_up_logging()


def emit(event: Event) -> None:
    """Tell the worker; blocks while it is busy, and does nothing once it is gone."""
    with suppress(BrokenPipeError):
        data = memoryview(encode_event(event))
        while data:
            data = data[os.write(_EVENTS.descriptor, data) :]


def _redirect(output: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
    # New objects: those of the zygote may believe that they write to a file, at some place in it.
    sys.stdout = open(1, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115


def _limit(memory_bytes: int) -> None:
    """Bound private memory beyond what the libraries take already; the address space is bounded far more loosely.

    ``RLIMIT_DATA`` counts private writable pages (Linux 4.7 and later), which is what a trainer's arrays are;
    ``RLIMIT_AS`` catches what is shared, and would be wrong as the only limit: libraries reserve much and use little.
    """
    sizes = {
        key: int(value.split()[0]) * 1024
        for key, _, value in (line.partition(":") for line in _status())
        if key in _SIZES
    }
    _lower(resource.RLIMIT_DATA, sizes["VmData"] + memory_bytes)
    _lower(resource.RLIMIT_AS, sizes["VmSize"] + 2 * memory_bytes + _ADDRESS_SLACK_BYTES)
    _lower(resource.RLIMIT_CORE, 0)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")  # should the kernel have to choose, it chooses this process


_SIZES = ("VmData", "VmSize")


def _status() -> list[str]:
    return Path("/proc/self/status").read_text().splitlines()


def _lower(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (bound, bound))


def _set_up_logging() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.captureWarnings(True)
