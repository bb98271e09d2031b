"""A run that keeps what a trainer reports, for the tests of trainers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelpool.core.signature import TensorSpec
from modelpool.core.trainer import Run, TrainerParams

if TYPE_CHECKING:
    import pandas as pd


class RunCancelled(Exception):
    """What :class:`RecordingRun` raises at the report after which it was told to stop."""


class RecordingRun(Run):
    """A run over a frame in memory::

        run = RecordingRun(frame, target="species", params=MyTrainer.Params(alpha=2))
        trained = MyTrainer().train(run)
        assert run.metrics["accuracy"] > 0.9

    ``cancel_after`` makes the n-th report raise :class:`RunCancelled`, as a job that somebody cancels does; a trainer
    lets it pass. ``reports`` are the pairs of progress and stage, ``lines`` the log, ``metrics`` the last values.
    """

    def __init__(
        self,
        data: pd.DataFrame,
        *,
        target: str | None = None,
        params: TrainerParams | None = None,
        columns: tuple[TensorSpec, ...] = (),
        seed: int = 0,
        cancel_after: int | None = None,
    ) -> None:
        self.data = data
        self.target = target
        self.params = params or TrainerParams()
        self.columns = columns
        self.tenant = "default"
        self.model = "tested"
        self.seed = seed
        self.reports: list[tuple[float, str | None]] = []
        self.lines: list[str] = []
        self.metrics: dict[str, float] = {}
        self.history: list[tuple[str, float, int | None]] = []
        self.figures: dict[str, Mapping[str, Any]] = {}
        self._cancel_after = cancel_after
        self._calls = 0

    def progress(self, fraction: float, stage: str | None = None) -> None:
        """Keep the report; raise ``ValueError`` for a fraction outside 0 to 1 or below the one before."""
        last = self.reports[-1][0] if self.reports else 0.0
        if not last <= fraction <= 1.0:
            raise ValueError(f"progress went from {last} to {fraction}; it must rise from 0 to 1")
        self.reports.append((fraction, stage))
        self._report()

    def log(self, text: str) -> None:
        """Keep the line."""
        self.lines.append(text)
        self._report()

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Keep the value, as the metric's last and in ``history``."""
        self.metrics[name] = float(value)
        self.history.append((name, float(value), step))
        self._report()

    def log_figure(self, name: str, data: Mapping[str, Any]) -> None:
        """Keep the figure; raise ``ValueError`` when it does not say its ``kind``."""
        if "kind" not in data:
            raise ValueError(f"figure {name!r} has no 'kind'; the console draws by it")
        self.figures[name] = data
        self._report()

    def _report(self) -> None:
        self._calls += 1
        if self._cancel_after is not None and self._calls >= self._cancel_after:
            raise RunCancelled(f"cancelled after {self._calls} reports")
