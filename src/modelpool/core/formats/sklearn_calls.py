"""Several outputs of one estimator for the same rows, each part of the work done once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class EstimatorCalls:
    """Asks an estimator for its outputs, in the order in which they are asked for; not for several threads at once.

    The classes and the probabilities together cost a forest twice as much as one of them, asked one after the other.
    """

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._steps, self._final = _parts(estimator)

    def ask(self, rows: Any, outputs: Sequence[str]) -> dict[str, Any]:
        """Return what each method gives for the rows."""
        if len(outputs) == 1:
            return {name: getattr(self._estimator, name)(rows) for name in outputs}
        if self._steps is not None:
            rows = self._steps.transform(rows)
        if set(outputs) != {"predict", "predict_proba"} or not _may_remember(self._final):
            return {name: getattr(self._final, name)(rows) for name in outputs}
        found = _classes_and_probabilities(self._final, rows)
        return {name: found[name] for name in outputs}


def _parts(estimator: Any) -> tuple[Any, Any]:
    """Return the steps of a pipeline before its last one, which every method goes through, and the last one."""
    kind = type(estimator)
    if kind.__name__ != "Pipeline" or not kind.__module__.startswith("sklearn.") or len(estimator.steps) < 2:
        return None, estimator
    return estimator[:-1], estimator.steps[-1][1]


def _may_remember(estimator: Any) -> bool:
    return type(estimator).__module__.startswith("sklearn.") and "predict_proba" not in vars(estimator)


def _classes_and_probabilities(estimator: Any, rows: Any) -> dict[str, Any]:
    """Call both methods; where ``predict`` asks ``predict_proba`` for these very rows, it gets what that gave."""
    own = estimator.predict_proba
    probabilities = own(rows)
    if not isinstance(probabilities, np.ndarray):
        return {"predict": estimator.predict(rows), "predict_proba": probabilities}

    def remembered(asked: Any, *positional: Any, **named: Any) -> Any:
        if asked is rows and not positional and not named:
            return probabilities.copy()
        return own(asked, *positional, **named)

    estimator.predict_proba = remembered
    try:
        classes = estimator.predict(rows)
    finally:
        del estimator.predict_proba
    return {"predict": classes, "predict_proba": probabilities}
