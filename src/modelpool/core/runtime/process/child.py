"""One model process as its parent sees it."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelpool.core.errors import Invalid, ModelpoolError, PredictionFailed, UnloadableModel, UntrustedFormat
from modelpool.core.runtime.memory import kills_for_memory
from modelpool.core.runtime.process import wire
from modelpool.core.runtime.process.answers import OutOfMemory
from modelpool.core.runtime.process.model_source import ModelSource
from modelpool.core.runtime.process.zygote_client import Forked

_ERRORS: dict[str, type[ModelpoolError]] = {
    error.code: error for error in (UntrustedFormat, UnloadableModel, OutOfMemory, PredictionFailed, Invalid)
}


class ChildFailed(Exception):
    """The process died, hung or spoke nonsense; the message ends the sentence "the process of the model …"."""


class Child:
    """Talks to one process; not for several threads at once.

    An event loop takes :attr:`channel` for itself, without blocking, and gives it back for :meth:`ask`.
    """

    def __init__(self, forked: Forked) -> None:
        self.pid = forked.pid
        self.channel = forked.channel
        self.calls = 0
        """Predictions asked of it so far."""
        self.is_lost = False
        """Whether it went together with the zygote it came from, which is not its own doing."""
        self._zygote = forked.zygote
        self._is_ended = False
        self._news = select.poll()  # not select, which knows no descriptors from 1024 on
        self._news.register(self.channel, select.POLLIN)
        self._machine_kills = kills_for_memory()

    @property
    def is_alive(self) -> bool:
        """Whether it waits for a request: its socket is open and it has said nothing on its own."""
        return not self._is_ended and not self._news.poll(0)

    def has_spoken(self) -> bool:
        """Whether it said something that nobody has read; ``False`` when it has merely gone."""
        try:
            return bool(self.channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def load(self, source: ModelSource, *, timeout_s: float, **request: Any) -> dict[str, Any]:
        """Hand over a model and return what the process says of it."""
        self.channel.settimeout(timeout_s)
        try:
            socket.send_fds(self.channel, [b"m"], [source.descriptor])
        except OSError:
            raise ChildFailed(self._ending()) from None
        try:
            facts, _ = self.ask("load", timeout_s=timeout_s, **request)
        except OutOfMemory as error:
            raise UnloadableModel(error.detail) from None
        return facts

    def ask(
        self,
        kind: str,
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        timeout_s: float,
        limits: wire.Limits | None = None,
        **facts: Any,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Send a request and return facts and arrays of the answer, which is no longer than ``limits``.

        Raises :class:`ChildFailed`, after which the process is gone, and the error that the process itself reports.
        """
        deadline = time.monotonic() + timeout_s
        try:
            self.channel.settimeout(timeout_s)
            wire.send(self.channel, kind, arrays, **facts)
            header, answers = wire.receive(self.channel, deadline=deadline, limits=limits)
        except wire.DeadlinePassed:
            self.end()
            raise ChildFailed(missed_deadline(timeout_s)) from None
        except wire.Closed:
            raise ChildFailed(self._ending()) from None
        except wire.WireError as error:
            self.end()
            raise ChildFailed(broke_protocol(error)) from None
        if header.kind == "error":
            raise reported_error(header.facts)
        return header.facts, answers

    def _ending(self) -> str:
        return self.end_after("closed its connection")

    def end_after(self, otherwise: str) -> str:
        """End it, and return what became of it: how it died, or ``otherwise`` where it lived until now."""
        status = self.end()
        if status is None:
            return "was ended with the process that it came from"
        return describe_status(status) or otherwise

    def ending_while_idle(self) -> str | None:
        """End it, and return how it died before.

        ``None`` where it was ended already, together with its zygote, or by the machine that ran out of memory: whom
        the kernel chooses then did nothing, as nobody asked it for anything.
        """
        if self._is_ended:
            return None
        has_spoken = self.has_spoken()
        status = self.end()
        if status is None or (_is_killed(status) and kills_for_memory() > self._machine_kills):
            return None
        return "spoke" if has_spoken else describe_status(status)

    def kill(self) -> None:
        """End the process while another thread may wait for its answer; that one finds the socket closed."""
        self._zygote.end(self.pid)

    def end(self) -> int | None:
        """Kill and reap the process; return its status, ``None`` when it is unknown."""
        if self._is_ended:
            return None
        self._is_ended = True
        self.channel.close()
        status = self._zygote.end(self.pid)
        self.is_lost = status is None
        return status


def broke_protocol(error: Exception) -> str:
    """Return the words for a process that said what it should not."""
    return f"gave no proper answer ({error})"


def missed_deadline(timeout_s: float) -> str:
    """Return the words for a process that let its time pass."""
    return f"did not answer within {timeout_s:g} s and was ended"


def reported_error(facts: dict[str, Any]) -> ModelpoolError:
    """Return the error that a process reports, as one of ours."""
    error = _ERRORS.get(str(facts.get("code")), Invalid)
    printable = "".join(sign if sign.isprintable() else " " for sign in str(facts.get("detail"))[:600])
    return error(printable)


def _is_killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def describe_status(status: int) -> str | None:
    """Return how a process ended, for people; ``None`` when it was alive until we ended it."""
    if not os.WIFSIGNALED(status):
        return "ended by itself"
    number = os.WTERMSIG(status)
    if number == signal.SIGXCPU:
        return "used up its CPU time and was ended"
    if number == signal.SIGKILL:
        return "was killed, perhaps for want of memory"
    return f"crashed ({signal.Signals(number).name})"
