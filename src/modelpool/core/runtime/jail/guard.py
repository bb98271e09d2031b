"""Whether uploaded files may be opened on this machine: only where every layer of the jail is there and holds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cached_property

import msgspec

from modelpool.core.errors import IsolationUnavailable
from modelpool.core.runtime.jail.layers import Layers, probe_layers

logger = logging.getLogger(__name__)

_REMEDY = (
    "use Linux 5.13 or later with Landlock and seccomp, or, if everybody who uploads is trusted, set "
    "serving.allow_weak_isolation = true"
)
_RETRY_S = 60.0
_WAIT_S = 30.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the self-test found: which attempts got out of the jail, or why it could not be run."""

    escaped: tuple[str, ...] = ()
    failure: str = ""
    n_attempts: int = 0
    duration_s: float = 0.0

    @property
    def problem(self) -> str:
        """A sentence, empty when the jail holds."""
        if self.escaped:
            return f"the self-test of the isolation found that a model process can: {', '.join(self.escaped)}"
        return f"the self-test of the isolation failed: {self.failure}" if self.failure else ""


class Guard:
    """Decides for one process; ``allows_weak`` is the operator's consent to do without.

    ``await_verdict`` waits so many seconds for what the self-test says, and returns ``None`` when it has not ended;
    without one, the layers alone decide.
    """

    def __init__(
        self, *, allows_weak: bool = False, await_verdict: Callable[[float], Verdict | None] | None = None
    ) -> None:
        self.allows_weak = allows_weak
        self._await_verdict = await_verdict or (lambda _timeout_s: Verdict())
        self._has_warned = threading.Event()

    @cached_property
    def layers(self) -> Layers:
        """What the kernel offers; it does not change while we run."""
        return probe_layers()

    def admit_upload(self) -> None:
        """Return where uploads may be opened, after waiting a while for the self-test.

        Raises :class:`~modelpool.core.errors.IsolationUnavailable`.
        """
        if self.allows_weak:
            return
        self._require(self.layers.problem)
        verdict = self._await_verdict(_WAIT_S)
        if verdict is None:
            raise IsolationUnavailable("The isolation of models is still being tested; try again.", retry_after_s=5)
        self._require(verdict.problem)

    def admit_model(self) -> None:
        """Return at once where uploaded models may be served, else raise as :meth:`admit_upload`.

        Models that serve already while the self-test runs were looked at before they were registered.
        """
        if self.allows_weak:
            return
        self._require(self.layers.problem)
        verdict = self._await_verdict(0)
        if verdict is not None and verdict.escaped:
            self._require(verdict.problem)

    def problem(self) -> str:
        """Return, in a sentence, why uploaded files are not opened now; empty when they are."""
        if self.layers.problem:
            return self.layers.problem
        verdict = self._await_verdict(0)
        return "" if verdict is None else verdict.problem

    def warn_once(self) -> None:
        """Log that files are opened in a weak jail, where the operator allows it."""
        if self._has_warned.is_set():
            return
        self._has_warned.set()
        problem = self.problem()
        if problem and self.allows_weak:
            logger.warning(
                "serving.allow_weak_isolation is set, and %s: WHOEVER MAY UPLOAD A MODEL MAY READ AND CHANGE WHAT THIS "
                "SERVER'S USER CAN. Let only people upload whom you trust as much as the operator.",
                problem,
            )
        elif problem:
            logger.error("uploaded models are neither taken nor served: %s; %s", problem, _REMEDY)

    def _require(self, problem: str) -> None:
        if problem:
            raise IsolationUnavailable(
                f"Uploaded models are neither taken nor served on this machine: {problem}. The operator can help: "
                f"{_REMEDY}.",
                retry_after_s=_RETRY_S,
            )
