"""The compiled forms of predictors, by the name of the scikit-learn class, and what they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelpool.core.compile.foreign import embed, one_label
from modelpool.core.compile.graph import Graph, Matrix, NeverConvertible, NotConvertible


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
    {
        "Pipeline", "CalibratedClassifierCV", "GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV",
        "HalvingRandomSearchCV", "VotingClassifier", "VotingRegressor", "StackingClassifier", "StackingRegressor",
        "TransformedTargetRegressor",
    }
)  # fmt: skip
"""Estimators around pipelines, which may take text, or a table of numbers and text."""


def emits(*names: str) -> Callable[[Emit], Emit]:
    """Register a function as the compiled form of scikit-learn classes of these names."""

    def register(function: Emit) -> Emit:
        PREDICTORS.update(dict.fromkeys(names, function))
        return function

    return register


def emit_predictor(graph: Graph, estimator: Any, source: Matrix) -> Prediction:
    """Add a fitted predictor; raise :class:`NotConvertible` for one without a compiled form."""
    if isinstance(getattr(estimator, "classes_", None), list):
        raise NotConvertible("classifiers with several targets have no compiled form")
    name = type(estimator).__name__
    own = PREDICTORS.get(name) if type(estimator).__module__.startswith("sklearn.") else None
    if not source.name and (own is None or name not in WRAPPERS):
        raise NotConvertible(f"numbers and text reach {name}")
    if own is None:
        return _foreign(graph, estimator, source)
    if source.is_text and name not in WRAPPERS:
        raise NotConvertible(f"text reaches {name}")
    try:
        with graph.attempt():
            return own(graph, estimator, source)
    except NeverConvertible:
        raise
    except NotConvertible as error:
        try:
            return _foreign(graph, estimator, source)
        except NotConvertible:
            raise error from None


def _foreign(graph: Graph, estimator: Any, source: Matrix) -> Prediction:
    """Add what skl2onnx makes of a predictor."""
    with graph.attempt():
        first, *others = embed(graph, estimator, source)
        classes = getattr(estimator, "classes_", None)
        if classes is None:
            column = np.asarray([-1, 1], dtype=np.int64)
            is_one = getattr(estimator, "n_outputs_", 1) == 1
            return Prediction(values=graph.cast(graph.op("Reshape", first, column) if is_one else first, np.float64))
        if np.asarray(classes).ndim != 1 or np.asarray(classes).dtype.kind not in "OUbiu":
            raise NotConvertible(f"the classes of {type(estimator).__name__} have no compiled form")
        has_probabilities = hasattr(estimator, "predict_proba") and bool(others)
        return Prediction(
            labels=one_label(graph, first, np.asarray(classes)),
            probabilities=graph.cast(others[0], np.float64) if has_probabilities else None,
        )


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
