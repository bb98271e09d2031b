"""The policy ``best_metric``: a version becomes active when it is better by a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from modelpool.core.policies.base import ActivationPolicy, Candidate, Mode
from modelpool.core.policies.metric_modes import metric_mode, metric_value


@dataclass(frozen=True, slots=True)
class BestMetric(ActivationPolicy):
    """Chooses the best by ``metric``, when it beats the active one by at least ``min_improvement``.

    ``metric=None`` is the trainer's own primary metric: the active version's if it has a value of it, else the newest
    candidate's. ``mode=None`` is the direction that the trainer gave for it, or the one its name tells. Versions
    without a finite value of the metric are never chosen; when the active one has none, the best of the others is.
    Of equals the active one stays, else the newest is chosen.
    """

    name: ClassVar[str] = "best_metric"

    metric: str | None = None
    mode: Mode | None = None
    min_improvement: float = 0.0

    def choose(self, candidates: Sequence[Candidate], *, active: int | None) -> int | None:
        """Return the number to activate, or ``active``."""
        judged_by = self._criterion(candidates, active)
        if judged_by is None:
            return active
        metric, mode = judged_by
        sign = -1.0 if mode == "min" else 1.0
        scores = {c.number: sign * value for c in candidates if (value := metric_value(c.metrics, metric)) is not None}
        if not scores:
            return active
        best = max(scores, key=lambda number: (scores[number], number == active, number))
        if active in scores and not self._improves(scores[best] - scores[active]):
            return active
        return best

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form with all fields."""
        return {"name": self.name, "metric": self.metric, "mode": self.mode, "min_improvement": self.min_improvement}

    def _criterion(self, candidates: Sequence[Candidate], active: int | None) -> tuple[str, Mode] | None:
        if self.metric is not None:
            return self.metric, self.mode or _mode_of(self.metric, candidates)
        having = [c for c in candidates if c.primary_metric and metric_value(c.metrics, c.primary_metric) is not None]
        if not having:
            return None
        judge = max(having, key=lambda candidate: (candidate.number == active, candidate.number))
        assert judge.primary_metric is not None
        return judge.primary_metric, self.mode or judge.primary_mode

    def _improves(self, difference: float) -> bool:
        """More, and by at least the minimum: 0.9 - 0.8 counts as 0.1, though it is a little less in binary."""
        enough = difference >= self.min_improvement or math.isclose(difference, self.min_improvement, rel_tol=1e-9)
        return difference > 0 and enough


def _mode_of(metric: str, candidates: Sequence[Candidate]) -> Mode:
    """The newest trainer's word for its own primary metric, else what the name tells."""
    judges = [candidate for candidate in candidates if candidate.primary_metric == metric]
    if judges:
        return max(judges, key=lambda candidate: candidate.number).primary_mode
    return metric_mode(metric)
