"""The supervisor's children: a slot for each process that should run, what runs in it, and when to try again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 30.0
_STABLE_S = 10.0


@dataclass(slots=True)
class Child:
    """A running process.

    ``ready_fd`` can be read once it serves, and then about each second: its event loop turns. It is -1 for a process
    that says nothing of itself. ``heard_at`` is when it was read last, or could begin (monotonic seconds).
    """

    process: subprocess.Popen[bytes]
    started_at: float
    ready_fd: int = -1
    is_ready: bool = False
    heard_at: float = 0.0
    is_hung: bool = False

    def send(self, number: signal.Signals) -> None:
        """Signal the process if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def is_silent(self, *, limit_s: float) -> bool:
        """Say whether it speaks of itself, but was not heard of for longer than ``limit_s``; 0 is no limit."""
        return self.ready_fd >= 0 and 0 < limit_s < time.monotonic() - self.heard_at

    def forget_ready_fd(self) -> None:
        """Close the descriptor on which it tells of itself."""
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1


@dataclass(slots=True)
class Slot:
    """A process that should run; ``successor`` takes its place once ready, in a rolling restart."""

    kind: str
    number: int
    child: Child | None = None
    successor: Child | None = None
    retired: list[Child] = field(default_factory=list)
    failures: int = 0
    start_at: float = 0.0

    @property
    def name(self) -> str:
        """What people read: ``web 1``."""
        return f"{self.kind} {self.number}"

    def children(self) -> list[Child]:
        """Return all processes of this slot, the present one first."""
        return [child for child in (self.child, self.successor, *self.retired) if child is not None]

    def note_exit(self, child: Child) -> None:
        """Plan the next start: at once after a good while, later and later when it keeps failing (up to 30 s).

        One that never served has failed, however long that took.
        """
        lived_s = time.monotonic() - child.started_at
        self.failures = 0 if child.is_ready and lived_s > _STABLE_S else self.failures + 1
        pause_s = 0.0 if child.is_ready and self.failures <= 1 else _FIRST_PAUSE_S * 2 ** min(self.failures, 10)
        self.start_at = time.monotonic() + min(pause_s, _LONGEST_PAUSE_S)


def start_child(module: str, *, environment: Mapping[str, str], fds: Mapping[str, int] | None = None) -> Child:
    """Start ``python -m module`` in a process group of its own, so that Ctrl-C reaches the supervisor alone.

    With ``fds`` the child inherits those descriptors, each told as ``--name FD``, and a pipe on which it says that it
    is ready, and that it lives.
    """
    command = [sys.executable, "-P", "-m", module, "--parent", str(os.getpid())]
    if fds is None:
        return Child(_popen(command, environment, ()), time.monotonic(), is_ready=True)
    read_fd, write_fd = os.pipe()
    told = {**fds, "ready": write_fd}
    try:
        options = [item for name, fd in told.items() for item in (f"--{name}", str(fd))]
        process = _popen([*command, *options], environment, tuple(told.values()))
    finally:
        os.close(write_fd)
    now = time.monotonic()
    return Child(process, now, ready_fd=read_fd, heard_at=now)


def _popen(command: list[str], environment: Mapping[str, str], pass_fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, env=dict(environment), pass_fds=pass_fds, stdin=subprocess.DEVNULL, process_group=0
    )
