"""Watching the child of one attempt: passing its reports on, keeping it within its limits, telling how it ended."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from modelpool.training.child_tasks import describe_status
from modelpool.training.forkserver import Child, Exited, Message, OutputLine
from modelpool.training.job_report import JobReport
from modelpool.training.lease import LeaseKeeper
from modelpool.training.memory import count_oom_kills, session_memory_bytes
from modelpool.training.messages import (
    RESULT_FILE,
    Failed,
    LogLine,
    Metric,
    Progress,
    Saved,
    TrainResult,
    UnreadableResult,
    read_json,
)
from modelpool.training.models import TrainingJob
from modelpool.training.queue import LeaseLost

COMPILE_TIMEOUT_S = 120.0
_START_TIMEOUT_S = 120.0
_TERM_GRACE_S = 0.5
_MEMORY_EVERY_S = 2.0
_LIBRARIES_BYTES = 512 << 20
_MEMORY_SIGNALS = (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS)

OUT_OF_MEMORY = Failed(
    "out_of_memory",
    "Training needed more memory than the job's limit, or than the machine has. Train on fewer rows or columns, choose "
    "a smaller model, or ask for a higher memory_limit_bytes.",
)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It was ended because somebody asked for that."""


@dataclass(frozen=True, slots=True)
class Drained:
    """It was ended because the worker stops; another one begins anew."""


@dataclass(frozen=True, slots=True)
class Lost:
    """It ended through no fault of the trainer's; another attempt may succeed."""

    detail: str


Ending = TrainResult | Failed | Cancelled | Drained | Lost


class Watch:
    """Reads a child until it ends, by itself or because a limit ends it.

    Once the model is saved, no limit, crash or timeout of the compiling that follows costs more than the compiled form.
    """

    def __init__(
        self,
        child: Child,
        *,
        job: TrainingJob,
        keeper: LeaseKeeper,
        report: JobReport,
        stop: threading.Event,
        drain_s: float,
    ) -> None:
        self._child = child
        self._job = job
        self._keeper = keeper
        self._report = report
        self._stop = stop
        self._drain_s = drain_s
        self._asked = self._started = time.monotonic()
        self._stopped_at: float | None = None
        self._saved_at: float | None = None
        self._failure: Failed | None = None
        self._ended_for = ""
        self._kill_at = 0.0
        self._memory_at = self._started
        self._oom_kills = count_oom_kills()

    def until_end(self, folder: Path) -> Ending:
        """Return how it ended; raise :class:`LeaseLost` as soon as that is known: the caller then kills the child."""
        while True:
            for message in self._child.read(0.1):
                if isinstance(message, Exited):
                    return self._conclude(message, folder=folder)
                self._pass_on(message)
            self._enforce()
            self._report.write()

    def _pass_on(self, message: Message) -> None:
        match message:
            case OutputLine(text=text) | LogLine(text=text):
                self._report.log(text)
            case Metric(name=name, value=value, step=step):
                self._report.metric(name, value, step)
            case Progress(fraction=fraction, stage=stage):
                self._report.progress(fraction, stage)
            case Saved():
                self._saved_at = time.monotonic()
            case Failed():
                self._failure = message

    def _enforce(self) -> None:
        now = time.monotonic()
        if self._keeper.lost.is_set():
            raise LeaseLost(str(self._job.pk))
        if self._stop.is_set() and self._stopped_at is None:
            self._stopped_at = now
        if self._ended_for:
            if now >= self._kill_at:
                self._child.send(signal.SIGKILL)
        elif reason := self._reason_to_end(now):
            self._ended_for = reason
            self._kill_at = now + _TERM_GRACE_S
            self._child.send(signal.SIGTERM)

    def _reason_to_end(self, now: float) -> str:
        if self._keeper.cancel_requested.is_set():
            return "cancel"
        if self._child.pid is None:
            self._started = now  # its time runs from when it does: a zygote that warms up takes seconds
            return "start" if now - self._asked > _START_TIMEOUT_S else ""
        if now - self._started > self._job.timeout_s:
            return "timeout"
        if self._saved_at is not None and now - self._saved_at > COMPILE_TIMEOUT_S:
            return "timeout"
        if self._stopped_at is not None and now - self._stopped_at > self._drain_s:
            return "drain"
        return "memory" if self._takes_too_much(now) else ""

    def _takes_too_much(self, now: float) -> bool:
        """Whether the child together with the processes it started takes more than the job may."""
        if self._child.pid is None or now - self._memory_at < _MEMORY_EVERY_S:
            return False
        self._memory_at = now
        return session_memory_bytes(self._child.pid) > self._job.memory_limit_bytes + _LIBRARIES_BYTES

    def _conclude(self, exited: Exited, *, folder: Path) -> Ending:
        if self._ended_for == "cancel":
            return Cancelled()
        if self._failure is not None:
            return self._failure
        if self._saved_at is not None:
            return self._read_result(exited, folder=folder)
        if self._ended_for == "drain" or (self._stop.is_set() and exited.status == -signal.SIGTERM):
            return Drained()
        return self._explain(exited)

    def _explain(self, exited: Exited) -> Ending:
        if self._ended_for == "timeout":
            return Failed(
                "timeout", f"Training took longer than the job's limit of {self._job.timeout_s:g} s and was stopped."
            )
        if self._ended_for == "memory" or self._ran_out_of_memory(exited):
            return OUT_OF_MEMORY
        if exited.status is None or self._ended_for == "start":
            return Lost("The process that training processes are forked from was lost.")
        ending = describe_status(exited.status)
        return Failed("trainer_crashed", f"The training process ended without a result: {ending}; see the job's log.")

    def _ran_out_of_memory(self, exited: Exited) -> bool:
        """Whether that is the likely cause of a deadly signal: the kernel has killed for memory, or much was in use."""
        if exited.status is None or -exited.status not in _MEMORY_SIGNALS:
            return False
        is_killed_for_memory = exited.status == -signal.SIGKILL and count_oom_kills() > self._oom_kills
        return is_killed_for_memory or exited.max_rss_bytes > 0.7 * self._job.memory_limit_bytes + _LIBRARIES_BYTES

    def _read_result(self, exited: Exited, *, folder: Path) -> Ending:
        try:
            result = read_json(folder / RESULT_FILE, TrainResult)
        except UnreadableResult as error:
            return Failed("trainer_failed", f"The result of training cannot be used: {error}")
        if result.is_compilable and result.parity is None:
            result.parity = self._not_compiled(exited)
        return result

    def _not_compiled(self, exited: Exited) -> dict[str, object]:
        ending = {
            "": describe_status(exited.status),
            "timeout": "it took too long",
            "memory": "it took too much memory",
        }
        reason = f"compiling was given up: {ending.get(self._ended_for, 'the worker was stopped')}"
        return {
            "equal": False,
            "rows": 0,
            "labels_equal": None,
            "max_abs_diff": None,
            "tolerance": 0.0,
            "reason": reason,
        }
