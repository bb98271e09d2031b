"""A run in a child process: what the trainer reports goes to the worker as events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelpool.core.signature import TensorSpec
from modelpool.core.trainer import Run, TrainerParams
from modelpool.training.child import emit
from modelpool.training.messages import LogLine, Metric, Progress

if TYPE_CHECKING:
    import pandas as pd

READING_ENDS_AT = 0.05
TRAINING_ENDS_AT = 0.90
MAX_NAME_CHARACTERS = 64
_MAX_STAGE_CHARACTERS = 100


class ChildRun(Run):
    """Gives the table to the trainer; its progress, 0 to 1, is the middle part of the job's.

    ``metrics`` and ``figures`` keep what was logged, for the version. A cancelled job does not stop here: its process
    is ended from outside, which also stops code that never reports.
    """

    def __init__(
        self,
        data: pd.DataFrame,
        *,
        columns: tuple[TensorSpec, ...],
        target: str | None,
        params: TrainerParams,
        tenant: str,
        model: str,
        seed: int,
    ) -> None:
        self.data = data
        self.columns = columns
        self.target = target
        self.params = params
        self.tenant = tenant
        self.model = model
        self.seed = seed
        self.metrics: dict[str, float] = {}
        self.figures: dict[str, Mapping[str, Any]] = {}

    def progress(self, fraction: float, stage: str | None = None) -> None:
        """Report; a fraction outside 0 to 1 is brought back into it."""
        inside = min(max(float(fraction), 0.0), 1.0) if math.isfinite(fraction) else 0.0
        share = READING_ENDS_AT + inside * (TRAINING_ENDS_AT - READING_ENDS_AT)
        emit(Progress(share, None if stage is None else str(stage)[:_MAX_STAGE_CHARACTERS]))

    def log(self, text: str) -> None:
        """Report a line."""
        emit(LogLine(str(text)[:100_000]))

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Report and keep a metric; one that is not a number is only said so in the log."""
        name, number = str(name)[:MAX_NAME_CHARACTERS], float(value)
        if not math.isfinite(number):
            self.metrics.pop(name, None)
            self.log(f"metric {name} is {number}, which is not recorded")
            return
        self.metrics[name] = number
        emit(Metric(name, number, step if step is None else int(step)))

    def log_figure(self, name: str, data: Mapping[str, Any]) -> None:
        """Keep a figure."""
        self.figures[str(name)[:MAX_NAME_CHARACTERS]] = data
