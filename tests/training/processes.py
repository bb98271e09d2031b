"""Real job workers as child processes of the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from django.db import OperationalError

from modelpool.training.models import JobWorker, TrainingJob

T = TypeVar("T")

LEASE_S = 2.0
_START = "import sys, django; django.setup(); from django.core.management import call_command; call_command('run_jobs')"


def wait_for(what: Callable[[], T], *, timeout_s: float = 60.0) -> T:
    """Return the first true answer; fail when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} is not true after {timeout_s} s")
        time.sleep(0.02)
    return answer


def wait_for_end(job: TrainingJob, *, timeout_s: float = 60.0) -> TrainingJob:
    """Return the job as it ended."""
    return wait_for_state(job, *TrainingJob.FINAL, timeout_s=timeout_s)


def wait_for_state(job: TrainingJob, *states: str, timeout_s: float = 60.0) -> TrainingJob:
    """Return the job as soon as it is in one of the states."""

    def look() -> bool:
        job.refresh_from_db()
        return job.state in states

    try:
        wait_for(look, timeout_s=timeout_s)
    except TimeoutError as error:
        raise TimeoutError(
            f"job is {job.state}, stage {job.stage!r}, {job.error_detail!r}; waited for {states}"
        ) from error
    return job


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass(slots=True)
class WorkerProcess:
    """A running ``manage.py run_jobs``."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @classmethod
    def start(cls, log_file: Path, *, setup: str = "", **environment: str) -> WorkerProcess:
        """Start one on the test's database; ``setup`` is Python code that it runs first."""
        values = {
            "MODELPOOL_JOBS_LEASE": str(LEASE_S),
            "MODELPOOL_SERVER_DRAIN_TIMEOUT": "1",
            **environment,
        }
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", f"{setup}\n{_START}" if setup else _START],
                env={**os.environ, **values},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return cls(process, log_file)

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self.log_file.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the worker alone, not to its children."""
        self.process.send_signal(number)

    def stall(self) -> None:
        """Stop it as a machine does that sleeps; not while it holds SQLite's lock, which nobody could take from it."""

        def stop_between_writes() -> bool:
            self.send(signal.SIGSTOP)
            try:
                JobWorker.objects.filter(pk=uuid.uuid4()).update(host="")
            except OperationalError:
                self.send(signal.SIGCONT)
                return False
            return True

        wait_for(stop_between_writes)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for its end and return the status."""
        return self.process.wait(timeout_s)

    def end(self) -> None:
        """End it in order, or by force when that takes too long."""
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait()
                raise
