"""A model that lives in its own child process and comes back after a crash."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.core.errors import ModelpoolError, ModelUnavailable, PredictionFailed
from modelpool.core.formats.base import Arrays, LoadedModel, TableArrays
from modelpool.core.runtime.child import Child, ChildFailed
from modelpool.core.runtime.model_source import ModelSource
from modelpool.core.signature import ModelSignature

if TYPE_CHECKING:
    from modelpool.core.runtime.isolation import ModelHost

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


def pause_after(failures: int) -> float:
    """Return how long to wait before the next start: none after the first failure, then 0.5, 1, 2 … 30 s."""
    return 0.0 if failures < 2 else min(FIRST_PAUSE_S * 2.0 ** (failures - 2), LONGEST_PAUSE_S)


class IsolatedModel(LoadedModel):
    """A model in its own child process; made by ``ModelHost.load``. Calls of several threads take turns."""

    is_thread_safe = True

    def __init__(self, host: ModelHost, source: ModelSource, *, format: str, signature: ModelSignature) -> None:
        self.signature = signature
        self._host = host
        self._source = source
        self._format = format
        self._lock = threading.Lock()
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
        self.warnings = tuple(str(text)[:300] for text in facts.get("warnings", ()))

    @property
    def pid(self) -> int | None:
        """The process id of the child, ``None`` while there is none."""
        return None if self._child is None else self._child.pid

    @property
    def size_bytes(self) -> int:
        """The private memory of the child after it loaded the model."""
        return self._size_bytes

    def predict(self, inputs: Arrays, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Ask the child; restarts it, with a growing pause, after it failed.

        Raises :class:`~modelpool.core.errors.ModelUnavailable` when the child dies or misses the host's
        ``predict_timeout_s``, which includes waiting for other threads' calls.
        """
        deadline = time.monotonic() + self._host.predict_timeout_s
        if not self._lock.acquire(timeout=self._host.predict_timeout_s):
            raise ModelUnavailable("The model is busy with other requests; try again.")
        try:
            return self._ask(inputs, list(outputs), deadline)
        finally:
            self._lock.release()

    def _ask(self, inputs: Arrays, outputs: list[str], deadline: float) -> dict[str, np.ndarray]:
        child = self._running_child()
        arrays, names = _to_send(inputs, self.signature)
        remaining = max(deadline - time.monotonic(), 0.001)
        try:
            _, answers = child.ask("predict", arrays, timeout_s=remaining, outputs=outputs, **names)
        except ChildFailed as failure:
            raise self._failed(f"The model is unavailable: its process {failure}.") from failure
        except ModelpoolError as error:
            self._failures = 0
            raise error if isinstance(error, PredictionFailed) else PredictionFailed(error.detail) from None
        if list(answers) != outputs or any(array.ndim == 0 for array in answers.values()):
            child.end()
            raise self._failed("The model is unavailable: its process gave another answer than was asked for.")
        self._failures = 0
        return answers

    def _running_child(self) -> Child:
        """Return the child, a new one where the old one is gone and the pause is over."""
        if self._is_closed:
            raise ModelUnavailable("The model was unloaded.")
        if self._child is not None and self._child.is_alive:
            return self._child
        wait_s = self._not_before - time.monotonic()
        if wait_s > 0:
            raise ModelUnavailable(
                "The model's process failed repeatedly; it is started again later.", retry_after_s=wait_s
            )
        if self._child is not None:
            self._child.end()
            self._child = None
        try:
            self._child, _ = self._host.start_child(self._source, format=self._format, signature=self.signature)
        except ModelpoolError as error:
            raise self._failed(f"The model is unavailable: {error.detail}") from error
        return self._child

    def _failed(self, detail: str) -> ModelUnavailable:
        self._failures += 1
        pause_s = pause_after(self._failures)
        self._not_before = time.monotonic() + pause_s
        return ModelUnavailable(detail, retry_after_s=max(pause_s, 0.1))

    def close(self) -> None:
        """End the child, also in the middle of a call, which then fails."""
        self._is_closed = True
        child = self._child
        if child is not None and self._lock.locked():
            child.kill()
        with self._lock:
            if self._child is not None:
                self._child.end()
            self._source.close()


def _to_send(inputs: Arrays, signature: ModelSignature) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a frame: the two matrices of a table as they are, else the signature's inputs by name."""
    if not isinstance(inputs, TableArrays):
        return {spec.name: inputs[spec.name] for spec in signature.inputs}, {}
    arrays = {"numbers": inputs.numbers, "texts": inputs.texts}
    present = {name: array for name, array in arrays.items() if array is not None}
    return present, {"table": [list(inputs.number_names), list(inputs.text_names)]}


def _as_size(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 50 else 0
