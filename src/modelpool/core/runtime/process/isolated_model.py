"""A model that lives in its own child process and comes back after a crash."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.core.errors import ModelpoolError, ModelUnavailable, PredictionFailed, Unavailable
from modelpool.core.formats.base import Arrays, LoadedModel, TableArrays
from modelpool.core.runtime.memory import private_bytes
from modelpool.core.runtime.process import wire
from modelpool.core.runtime.process.answers import Allowance, OutOfMemory, WrongAnswer, check_answer, error_of
from modelpool.core.runtime.process.child import Child, ChildFailed
from modelpool.core.runtime.process.faults import FAULT_LIMIT, Breaker
from modelpool.core.runtime.process.model_source import ModelSource
from modelpool.core.runtime.process.table_names import TableNames, names_to_send, table_names
from modelpool.core.signature import ModelSignature

if TYPE_CHECKING:
    from modelpool.core.runtime.process.isolation import ModelHost

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0

_FULL = "reached its limit of memory and was ended"


def pause_after(failures: int) -> float:
    """Return how long to wait before the next start: none after the first failure, then 0.5, 1, 2 … 30 s."""
    return 0.0 if failures < 2 else min(FIRST_PAUSE_S * 2.0 ** (failures - 2), LONGEST_PAUSE_S)


class IsolatedModel(LoadedModel):
    """A model in its own child process; made by ``ModelHost.load``.

    One call at a time: threads that call :meth:`predict` take turns, and with a
    :class:`~modelpool.core.runtime.process.channel.LoopChannel`, which holds :attr:`lock` during its calls.
    """

    is_thread_safe = True

    def __init__(self, host: ModelHost, source: ModelSource, *, format: str, signature: ModelSignature) -> None:
        self.signature = signature
        self.lock = threading.Lock()
        self._host = host
        self._source = source
        self._format = format
        self._breaker = Breaker(FAULT_LIMIT)
        self._on_quarantine: Callable[[str], object] | None = None
        self._on_restart: Callable[[], object] | None = None
        self._calls = itertools.count(1)
        self._names = table_names(signature)
        self._allowances: dict[tuple[str, ...], Allowance] = {}
        self._failures = 0
        self._not_before = 0.0
        self._is_closed = False
        self._child: Child | None = None
        try:
            self._child, facts = host.start_child(source, format=format, signature=signature)
        except BaseException:
            source.close()
            raise
        self._size_bytes = _as_size(facts.get("size_bytes"))
        self.measure()
        self.warnings = _as_texts(facts.get("warnings"))

    def watch(
        self,
        *,
        fault_limit: int,
        on_quarantine: Callable[[str], object] | None = None,
        on_restart: Callable[[], object] | None = None,
    ) -> None:
        """Set how many faults are too many, and whom to tell, from the thread that saw it, with the reason."""
        self._breaker = Breaker(fault_limit)
        self._on_quarantine, self._on_restart = on_quarantine, on_restart

    @property
    def pid(self) -> int | None:
        """The process id of the child, ``None`` while there is none."""
        return None if self._child is None else self._child.pid

    @property
    def is_given_up(self) -> bool:
        """Whether it failed too often, and is not started again for a while."""
        return self._breaker.reason is not None

    @property
    def size_bytes(self) -> int:
        """The private memory of the child when it was measured last."""
        return self._size_bytes

    def measure(self) -> None:
        """Look from outside at the memory of the child, which may have said anything, and may leak."""
        pid = self.pid
        found = None if pid is None else private_bytes(pid)
        if found:
            self._size_bytes = found

    @property
    def timeout_s(self) -> float:
        """How long one call may take."""
        return self._host.predict_timeout_s

    def predict(self, inputs: Arrays, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Ask the child, from a thread; restarts it, with a growing pause, after it failed.

        Raises :class:`~modelpool.core.errors.ModelUnavailable` when the child dies or misses the host's
        ``predict_timeout_s``, which includes waiting for other threads' calls.
        """
        deadline = time.monotonic() + self.timeout_s
        if not self.lock.acquire(timeout=self.timeout_s):
            raise ModelUnavailable("The model is busy with other requests; try again.")
        try:
            try:
                return self.ask_locked(inputs, outputs, deadline=deadline)
            except OutOfMemory:
                return self.ask_locked(inputs, outputs, deadline=deadline)
        finally:
            self.lock.release()

    # --- for whoever holds the lock -----------------------------------------------------------------------------------

    def ask_locked(
        self, inputs: Arrays, outputs: Sequence[str], *, deadline: float, is_shared: bool = False
    ) -> dict[str, np.ndarray]:
        """Ask the child and wait; :class:`OutOfMemory` where a new child may still be able to answer."""
        child = self.ready_child() or self.start_child()
        arrays, names, n_rows = to_send(inputs, self.signature, self._names)
        child.calls += 1
        call = next(self._calls)
        try:
            facts, answers = child.ask(
                "predict",
                arrays,
                timeout_s=max(deadline - time.monotonic(), 0.001),
                limits=self.limits_of(outputs, n_rows=n_rows),
                outputs=list(outputs),
                call=call,
                **names,
            )
            check_answer(facts, answers, signature=self.signature, outputs=outputs, n_rows=n_rows, call=call)
        except ChildFailed as failure:
            raise self.child_failed(str(failure), is_fault=not (is_shared or child.is_lost)) from failure
        except WrongAnswer as failure:
            child.end()
            raise self.child_failed(str(failure), is_fault=not is_shared) from failure
        except ModelpoolError as error:
            raise self.refused(child, error) from None
        self.answered()
        return answers

    def request_frame(self, inputs: Arrays, outputs: Sequence[str]) -> tuple[list[bytes | memoryview], int, int]:
        """Return the pieces to send, the number of the call, which the answer repeats, and its rows."""
        arrays, names, n_rows = to_send(inputs, self.signature, self._names)
        call = next(self._calls)
        return wire.frame("predict", arrays, outputs=list(outputs), call=call, **names), call, n_rows

    def limits_of(self, outputs: Sequence[str], *, n_rows: int) -> wire.Limits:
        """Return how much the answer may take."""
        key = tuple(outputs)
        allowance = self._allowances.get(key)
        if allowance is None:
            allowance = self._allowances[key] = Allowance.of(self.signature, key)
        return allowance.for_rows(n_rows)

    def ready_child(self) -> Child | None:
        """Return the child where it is alive, ``None`` where :meth:`start_child` is to be called.

        Raises :class:`~modelpool.core.errors.ModelUnavailable` while it may not be started.
        """
        if self._is_closed:
            raise ModelUnavailable("The model was unloaded.")
        if self._breaker.wait_s > 0:
            raise self._quarantined()
        if self._child is not None and self._child.is_alive:
            return self._child
        wait_s = self._not_before - time.monotonic()
        if wait_s > 0:
            raise ModelUnavailable(
                "The model's process failed repeatedly; it is started again later.", retry_after_s=wait_s
            )
        return None

    def start_child(self) -> Child:
        """Start the child anew, waiting for it; raises :class:`~modelpool.core.errors.ModelUnavailable`.

        What the machine is short of is no fault of the model, but is waited for as if it were.
        """
        if self._is_closed:  # and so its child was ended, while the call was on its way to it
            raise ModelUnavailable("The model was unloaded.")
        if self._child is not None:
            self._bury(self._child)
            self._child = None
        if self._on_restart is not None:
            self._on_restart()
        try:
            self._child, _ = self._host.start_child(self._source, format=self._format, signature=self.signature)
        except Unavailable as error:
            pause_s = self._pause()
            error.retry_after_s = max(pause_s, error.retry_after_s or 0.1)
            raise
        except ModelpoolError as error:
            raise self.child_failed(f"cannot be started: {error.detail}") from error
        return self._child

    def _bury(self, child: Child) -> None:
        """End what is left of a child; where it died while nobody asked, that is a fault, but its next caller's least.

        A model that answers and then dies would otherwise be started for every request, for ever. The caller of now
        is answered by a new process, without a pause, unless this fault is one too many.
        """
        ending = child.ending_while_idle()
        if ending is not None:
            self._record_fault(f"{ending} while nobody asked it")
        if self._breaker.wait_s > 0:
            raise self._quarantined()

    def answered(self) -> None:
        """Note a good answer: the next failure is the first one again."""
        self._failures = 0
        self._breaker.record_answer()

    def refused(self, child: Child, error: ModelpoolError) -> ModelpoolError:
        """Return the error of a call that the child itself refused; one that is out of memory is ended, to wait."""
        found = error_of(error)
        if not isinstance(found, OutOfMemory):
            self.answered()
            return found
        child.end()
        if child.calls > 1:  # it leaks, perhaps: a new one may have the room
            logger.warning("a model's process %s", _FULL)
            return found
        return PredictionFailed(f"These rows need more memory than a model's process may take: {error.detail}")

    def child_failed(self, what: str, *, is_fault: bool = True) -> ModelUnavailable:
        """Count a failure of the child, which has ended, and return the error of its callers.

        ``what`` continues the sentence "its process …". What several requests did together is no fault yet.
        """
        detail = f"The model is unavailable: its process {what}."
        if not is_fault or self._is_closed:
            return ModelUnavailable(detail, retry_after_s=0.1)
        pause_s = self._pause()
        self._record_fault(what)
        if self._breaker.reason is not None:
            return self._quarantined()
        return ModelUnavailable(detail, retry_after_s=max(pause_s, 0.1))

    def _pause(self) -> float:
        """Note a failure, and return for how many seconds nothing is started after it."""
        self._failures += 1
        pause_s = pause_after(self._failures)
        self._not_before = time.monotonic() + pause_s
        return pause_s

    def _record_fault(self, what: str) -> None:
        logger.warning("a model's process %s", what)
        if self._breaker.record_fault(f"its process {what}") and self._on_quarantine is not None:
            self._tell_quarantine(str(self._breaker.reason))

    def _tell_quarantine(self, reason: str) -> None:
        assert self._on_quarantine is not None
        try:
            self._on_quarantine(reason)
        except Exception:  # the model is given up here whatever others make of it
            logger.exception("the quarantine of a model could not be recorded")

    def _quarantined(self) -> ModelUnavailable:
        detail = f"The model is in quarantine after {self._breaker.reason}."
        return ModelUnavailable(detail, retry_after_s=max(self._breaker.wait_s, 1.0))

    def close(self) -> None:
        """End the child, also in the middle of a call, which then fails."""
        self._is_closed = True
        child = self._child
        if child is not None and self.lock.locked():
            child.kill()
        with self.lock:
            if self._child is not None:
                self._child.end()
            self._source.close()


def to_send(
    inputs: Arrays, signature: ModelSignature, names: TableNames
) -> tuple[dict[str, np.ndarray], dict[str, Any], int]:
    """Return the arrays of a frame, what else it says, and its rows.

    The two matrices of a table travel as they are, otherwise the signature's inputs by name.
    """
    if not isinstance(inputs, TableArrays):
        arrays = {spec.name: inputs[spec.name] for spec in signature.inputs}
        return arrays, {}, len(next(iter(arrays.values())))
    matrices = {"numbers": inputs.numbers, "texts": inputs.texts}
    present = {name: array for name, array in matrices.items() if array is not None}
    return present, {"table": names_to_send(inputs, names)}, len(next(iter(present.values())))


def _as_texts(value: Any) -> tuple[str, ...]:
    return tuple(str(text)[:300] for text in value[:100]) if isinstance(value, list) else ()


def _as_size(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 50 else 0
