"""The compiled forms of predictors, by the name of the scikit-learn class, and what they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelpool.core.compile.graph import Graph, Matrix, NotConvertible


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a predictor's part of the graph gives.

    A classifier: ``labels``, int64 ``(n_rows,)`` indices of ``classes_``, and where it has them ``probabilities``
    ``(n_rows, n_classes)`` and ``scores``, its decision function as scikit-learn shapes it but always with two
    dimensions. A regressor: ``values``, ``(n_rows, n_targets)``. All float64.
    """

    labels: str | None = None
    probabilities: str | None = None
    scores: str | None = None
    values: str | None = None


Emit = Callable[[Graph, Any, Matrix], Prediction]
PREDICTORS: dict[str, Emit] = {}
WRAPPERS = frozenset(
    {"Pipeline", "CalibratedClassifierCV", "GridSearchCV", "RandomizedSearchCV", "VotingClassifier", "VotingRegressor"}
)
"""Estimators around pipelines, which may take text."""


def emits(*names: str) -> Callable[[Emit], Emit]:
    """Register a function as the compiled form of scikit-learn classes of these names."""

    def register(function: Emit) -> Emit:
        PREDICTORS.update(dict.fromkeys(names, function))
        return function

    return register


def emit_predictor(graph: Graph, estimator: Any, source: Matrix) -> Prediction:
    """Add a fitted predictor; raise :class:`NotConvertible` for one without a compiled form."""
    name = type(estimator).__name__
    if not type(estimator).__module__.startswith("sklearn.") or name not in PREDICTORS:
        raise NotConvertible(f"{name} has no compiled form")
    if source.is_text and name not in WRAPPERS:
        raise NotConvertible(f"text reaches {name}")
    if isinstance(getattr(estimator, "classes_", None), list):
        raise NotConvertible("classifiers with several targets have no compiled form")
    return PREDICTORS[name](graph, estimator, source)


def two_columns(graph: Graph, positive: str) -> str:
    """Return ``(n_rows, 2)`` probabilities from that of the second class, ``(n_rows, 1)``."""
    return graph.op("Concat", graph.op("Sub", np.asarray(1.0), positive), positive, axis=1)


def arg_max(graph: Graph, scores: str) -> str:
    """Return the index of the greatest score in each row, the first among equals, like NumPy's."""
    return graph.op("ArgMax", scores, axis=1, keepdims=0)


def is_positive(graph: Graph, score: str, *, or_zero: bool = False) -> str:
    """Return 1 where a score ``(n_rows, 1)`` is greater than zero, else 0, as int64 ``(n_rows,)``."""
    greater = graph.op("GreaterOrEqual" if or_zero else "Greater", score, np.asarray(0.0))
    return graph.op("Squeeze", graph.cast(greater, np.int64), np.asarray([1], dtype=np.int64))


def affine(graph: Graph, source: str, weights: Any, bias: Any) -> str:
    """Return ``source @ weights.T + bias`` for weights ``(n_outputs, n_features)``."""
    weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    bias = np.broadcast_to(np.asarray(bias, dtype=np.float64), (len(weights),))
    return graph.op("Gemm", source, np.ascontiguousarray(weights.T), bias)
