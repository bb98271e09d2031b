"""Short tasks in a child process: ask, wait, read the result."""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from pathlib import Path
from typing import Any, TypeVar

from modelpool.training.forkserver import Child, Exited, ForkServer, OutputLine
from modelpool.training.messages import REQUEST_FILE, RESULT_FILE, Task, UnreadableResult, read_json, write_json

logger = logging.getLogger(__name__)

T = TypeVar("T")

_KEPT_LINES = 30


class TaskFailed(RuntimeError):
    """The child crashed, or took too long."""


class TaskInterrupted(TaskFailed):
    """The worker is ending, or lost what its children are forked from: this says nothing about the task."""


def collect(forks: ForkServer, task: Task, *, request: Any, result: type[T], timeout_s: float) -> T:
    """Run ``task`` on ``request`` and return its result; raise :class:`TaskFailed` or :class:`TaskInterrupted`."""
    folder = Path(task.folder)
    write_json(folder / REQUEST_FILE, request)
    try:
        child = forks.run(task)
    except OSError as error:
        raise TaskInterrupted(str(error)) from error
    output: deque[str] = deque(maxlen=_KEPT_LINES)
    with child:
        ended = _wait(child, timeout_s=timeout_s, output=output)
    if ended is None:
        raise TaskFailed(f"it took longer than {timeout_s:g} s")
    try:
        return read_json(folder / RESULT_FILE, result)
    except UnreadableResult as error:
        if ended.status is None or forks.is_closed:
            raise TaskInterrupted("the worker was stopped meanwhile") from error
        logger.warning("a child process crashed; the end of its output:\n%s", "\n".join(output))
        raise TaskFailed(f"the process crashed ({describe_status(ended.status)}); see the worker's log") from error


def describe_status(status: int | None) -> str:
    """Return how a process ended, for people."""
    if status is None:
        return "its parent process was lost"
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"killed by signal {-status}, {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _wait(child: Child, *, timeout_s: float, output: deque[str]) -> Exited | None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for message in child.read(0.2):
            if isinstance(message, Exited):
                return message
            if isinstance(message, OutputLine):
                output.append(message.text)
    return None
