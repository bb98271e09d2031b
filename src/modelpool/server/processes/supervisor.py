"""``modelpool serve``: a small parent that starts the web and job processes and sees to it that they run.

It imports nothing of Django and does no work of its own, so there is little that could fail in it. Its children end
with it, however it ends. SIGTERM and SIGINT drain; with ``server.drain_delay`` the web processes are first only not
ready any more for a while. A second signal ends that while, the next one kills. SIGHUP replaces the web processes one
by one without losing a request. A web process that does not serve within ``server.start_timeout``, or then gives no
sign of life for ``server.hang_timeout``, is replaced.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping

from modelpool import conf
from modelpool.server.connections.seats import Seats
from modelpool.server.processes.children import Child, Slot, start_child
from modelpool.server.processes.preparation import Preparation
from modelpool.server.processes.startup import EXIT_CONFIGURATION

logger = logging.getLogger(__name__)

_GRACE_S = 5.0
_HOPELESS_FAILURES = 3
_TICK_S = 0.5
_STOOD_STILL_S = 3.0
_LAST_WORDS_S = 1.0
_PROCESSES_A_SLOT = 4
"""One, a successor, and those that it and quick successors of it replaced, and that still finish."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Supervisor:
    """Keeps ``settings.server.workers`` web and ``settings.jobs.workers`` job processes running on one socket.

    ``environment`` is the children's. ``on_ready`` is called once, when the first web process serves.
    """

    def __init__(
        self,
        settings: conf.Settings,
        *,
        listening: socket.socket,
        environment: Mapping[str, str],
        on_ready: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._listening = listening
        self._environment = dict(environment)
        self._preparation = Preparation(environment)
        self._on_ready = on_ready
        self._slots = [Slot("web", n) for n in range(1, settings.server.workers + 1)]
        self._seats = Seats.for_processes(_PROCESSES_A_SLOT * len(self._slots))
        self._slots += [Slot("jobs", n) for n in range(1, settings.jobs.workers + 1)]
        self._selector = selectors.DefaultSelector()
        self._rolling: deque[Slot] = deque()
        self._was_ready = False
        self._stop_at: float | None = None
        self._kill_at: float | None = None
        self._exit_code = 0
        self._looked_at = time.monotonic()

    def run(self) -> int:
        """Run until told to stop, or until it is clear that the server cannot start; return the exit code."""
        wake_fd = self._listen_to_signals()
        while True:
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                self._stop()
            if self._kill_at is None and self._stop_at is None:
                self._start_missing()
            for key, _ in self._selector.select(self._pause_s()):
                if key.fd == wake_fd:
                    self._handle_signals(os.read(wake_fd, 4096))
                else:
                    self._hear(key.data)
            self._note_preparation()
            self._end_hung()
            self._reap()
            if self._kill_at is not None and self._is_finished():
                return self._exit_code

    # --- signals ------------------------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> int:
        read_fd, write_fd = os.pipe()
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        signal.set_wakeup_fd(write_fd)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        self._selector.register(read_fd, selectors.EVENT_READ)
        return read_fd

    def _handle_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop_or_hurry()
            elif number == signal.SIGHUP and self._kill_at is None and self._stop_at is None:
                logger.info("replacing the web processes one by one")
                self._rolling = deque(slot for slot in self._slots if slot.kind == "web")
                self._roll()

    def _stop_or_hurry(self) -> None:
        """First say for ``drain_delay`` that we are not ready, while everything is answered; then stop; then kill."""
        delay_s = self._settings.server.drain_delay
        if self._kill_at is not None:
            self._kill()
        elif self._stop_at is not None or not self._was_ready or delay_s <= 0:
            self._stop()
        else:
            logger.info("not ready any more, stopping in %g s; a second signal stops it now", delay_s)
            self._stop_at = time.monotonic() + delay_s
            for child in [child for slot in self._slots if slot.kind == "web" for child in slot.children()]:
                if child.is_ready:
                    child.send(signal.SIGUSR1)

    def _stop(self, exit_code: int = 0) -> None:
        logger.info("stopping; a second signal ends it at once")
        self._stop_at = None
        self._exit_code = exit_code
        self._kill_at = time.monotonic() + self._settings.server.drain_timeout + _GRACE_S
        self._listening.close()
        self._preparation.stop()
        for child in self._children():
            child.send(signal.SIGTERM)

    def _kill(self) -> None:
        for child in self._children():
            child.send(signal.SIGKILL)

    # --- starting -----------------------------------------------------------------------------------------------------

    def _note_preparation(self) -> None:
        code = self._preparation.poll()
        if code:
            self._stop(code if code > 0 else 1)

    def _start_missing(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.child is None and slot.start_at <= now and (slot.kind == "web" or self._preparation.is_done):
                slot.child = self._start(slot)

    def _start(self, slot: Slot) -> Child:
        if slot.kind == "jobs":
            return start_child("modelpool.server.jobs", environment=self._environment)
        fds = {
            "socket": self._listening.fileno(),
            "seats": self._seats.descriptor,
            "gate": self._preparation.gate_fd,
        }
        child = start_child("modelpool.server.web", environment=self._environment, fds=fds)
        self._seats.give(child.process.pid)
        self._selector.register(child.ready_fd, selectors.EVENT_READ, (slot, child))
        return child

    def _hear(self, data: tuple[Slot, Child]) -> None:
        """The pipe says ``ready``, later that the process lives; or it has ended because the process did."""
        slot, child = data
        if not os.read(child.ready_fd, 4096):
            self._selector.unregister(child.ready_fd)
            child.forget_ready_fd()
            return
        child.heard_at = time.monotonic()
        if not child.is_ready:
            child.is_ready = True
            self._note_ready(slot, child)

    def _note_ready(self, slot: Slot, child: Child) -> None:
        logger.info("%s (process %d) serves", slot.name, child.process.pid)
        if child is slot.successor:
            self._succeed(slot)
        if not self._was_ready:
            self._was_ready = True
            self._on_ready()

    # --- rolling restart ----------------------------------------------------------------------------------------------

    def _roll(self) -> None:
        if self._rolling and not any(slot.successor for slot in self._slots):
            slot = self._rolling.popleft()
            slot.successor = self._start(slot)

    def _succeed(self, slot: Slot) -> None:
        if slot.child is not None:
            slot.child.send(signal.SIGTERM)
            slot.retired.append(slot.child)
        slot.child, slot.successor = slot.successor, None
        self._roll()

    # --- hanging ------------------------------------------------------------------------------------------------------

    def _end_hung(self) -> None:
        """Kill web processes that do not come up, or do not turn any more; before, have them say where they hang.

        Time in which this process did not run itself, such as that of a stopped container, is not counted, nor is that
        in which web processes wait for the home.
        """
        now = time.monotonic()
        stood_still_s, self._looked_at = now - self._looked_at, now
        for slot in self._slots:
            for child in slot.children():
                if not (child.is_ready or self._preparation.is_done):
                    child.heard_at = now
                elif stood_still_s > _STOOD_STILL_S:
                    child.heard_at += stood_still_s
                if child.is_silent(limit_s=self._longest_silence_s(child)):
                    self._end(slot, child)

    def _longest_silence_s(self, child: Child) -> float:
        server = self._settings.server
        limit_s = server.hang_timeout if child.is_ready else server.start_timeout
        return limit_s + _LAST_WORDS_S * child.is_hung

    def _end(self, slot: Slot, child: Child) -> None:
        if child.is_hung:
            child.send(signal.SIGKILL)
            return
        silence = "gave no sign of life for" if child.is_ready else "did not come up within"
        limit_s = self._longest_silence_s(child)
        logger.error("%s (process %d) %s %g s; replacing it", slot.name, child.process.pid, silence, limit_s)
        child.is_hung = True
        child.send(signal.SIGUSR2)  # prints what its threads do, see server/web.py

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        for slot in self._slots:
            for child in slot.children():
                if child.process.poll() is not None:
                    self._bury(slot, child)
        _reap_strangers(self._children())

    def _bury(self, slot: Slot, child: Child) -> None:
        self._seats.take_back(child.process.pid)
        if child.ready_fd >= 0:
            self._selector.unregister(child.ready_fd)
            child.forget_ready_fd()
        if child in slot.retired:
            slot.retired.remove(child)
        elif child is slot.successor:
            slot.successor = None
            self._rolling.clear()
            logger.error(
                "the new %s did not start (%s); the old ones stay", slot.name, _in_words(child.process.returncode)
            )
        else:
            slot.child = None
            if self._kill_at is None:
                self._note_failure(slot, child)

    def _note_failure(self, slot: Slot, child: Child) -> None:
        code = child.process.returncode
        slot.note_exit(child)
        if code == EXIT_CONFIGURATION and not self._was_ready:
            self._stop(code)
        elif slot.kind == "web" and not self._was_ready and slot.failures >= _HOPELESS_FAILURES:
            logger.critical("the web processes do not come up; giving up")
            self._stop(1)
        else:
            pause_s = max(0.0, slot.start_at - time.monotonic())
            logger.error("%s ended (%s); starting it again in %.1f s", slot.name, _in_words(code), pause_s)

    def _is_finished(self) -> bool:
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            logger.error("draining took longer than server.drain_timeout; ending the rest")
            self._kill()
        return not self._children()

    # --- small things -------------------------------------------------------------------------------------------------

    def _children(self) -> list[Child]:
        return [child for slot in self._slots for child in slot.children()]

    def _pause_s(self) -> float:
        """How long nothing needs to be done; an end or a signal wakes the loop earlier."""
        if self._kill_at is not None or self._stop_at is not None or not self._preparation.is_done:
            return 0.05
        starts = [slot.start_at - time.monotonic() for slot in self._slots if slot.child is None]
        return max(0.0, min([_TICK_S, *starts]))


def _reap_strangers(children: list[Child]) -> None:
    """As process 1 of a container we inherit the orphans of others, and must let the dead ones go."""
    if os.getpid() != 1:
        return
    known = {child.process.pid for child in children}
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:
            return
        os.waitpid(found.si_pid, 0)


def _in_words(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"
