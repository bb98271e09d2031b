"""Whether more of a metric is better, by its name."""

from __future__ import annotations

import math
from collections.abc import Mapping

from modelpool.core.policies.base import Mode

_LESS_IS_BETTER = frozenset(
    {
        "rmse",
        "mae",
        "mse",
        "msle",
        "rmsle",
        "mape",
        "smape",
        "medae",
        "brier_score",
        "logloss",
        "perplexity",
        "wer",
        "cer",
    }
)
_LESS_ENDINGS = ("_loss", "_error", "_deviance", "_distance", "_rmse", "_mae", "_mse", "_std")
_PREFIXES = ("cv_", "test_", "val_", "validation_", "train_", "holdout_")


def metric_mode(name: str) -> Mode:
    """Return ``min`` for errors, losses and spreads by name (``log_loss``, ``cv_mae``, ``cv_r2_std``), else ``max``.

    Names that begin with ``neg_`` are scorers, which scikit-learn negates so that more is better.
    """
    bare = name.lower()
    for prefix in _PREFIXES:
        bare = bare.removeprefix(prefix)
    if bare.startswith("neg_"):
        return "max"
    less = bare in _LESS_IS_BETTER or bare in ("loss", "error") or bare.endswith(_LESS_ENDINGS)
    return "min" if less else "max"


def metric_value(metrics: Mapping[str, float | None], name: str) -> float | None:
    """Return the value, or ``None`` when there is none or it is not a finite number: such a version never wins."""
    value = metrics.get(name)
    if value is None or isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
