"""Compiled forms of estimators that combine others: boosting by weights, bagging, stacking, votes, other targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelpool.core.compile.functions import invert_transformer
from modelpool.core.compile.graph import Graph, Matrix, NotConvertible
from modelpool.core.compile.predictors import Prediction, arg_max, emit_predictor, emits, is_positive

_AXIS_1 = np.asarray([1], dtype=np.int64)
MAX_MEMBERS = 500
"""Each member is an operator of its own; more of them make loading slower than the estimator's own answer."""


@emits("AdaBoostClassifier")
def _boosted_classifier(graph: Graph, model: Any, source: Matrix) -> Prediction:
    """Weighted votes (``AdaBoostClassifier.decision_function``), summed in the same order."""
    n_classes = len(model.classes_)
    if n_classes < 2:
        raise NotConvertible("a classifier of one class has no compiled form")
    votes = []
    for member, weight in zip(_few(model.estimators_), model.estimator_weights_, strict=False):
        table = np.full((n_classes, n_classes), -1 / (n_classes - 1) * weight)
        np.fill_diagonal(table, weight)
        votes.append(graph.op("Gather", table, _labels(graph, member, source, model.classes_), axis=0))
    total = np.asarray(float(model.estimator_weights_.sum()))
    scores = graph.op("Div", _sum(graph, votes), total)
    if n_classes > 2:
        shares = graph.op("Softmax", graph.op("Div", scores, np.asarray(float(n_classes - 1))), axis=1)
        return Prediction(labels=arg_max(graph, scores), scores=scores, probabilities=shares)
    first, second = graph.ops("Split", scores, n_outputs=2, axis=1, num_outputs=2)
    score = graph.op("Sub", second, first)
    both = graph.op("Div", graph.op("Concat", graph.op("Neg", score), score, axis=1), np.asarray(2.0))
    probabilities = graph.op("Softmax", both, axis=1)
    return Prediction(labels=is_positive(graph, score), scores=score, probabilities=probabilities)


@emits("AdaBoostRegressor")
def _boosted_regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    """The weighted median of the members (``AdaBoostRegressor._get_median_predict``)."""
    members = _few(model.estimators_)
    each = _concat(graph, [_values(graph, member, source) for member in members])
    size = np.asarray([len(members)], dtype=np.int64)
    ordered, order = graph.ops("TopK", each, size, n_outputs=2, axis=1, largest=0, sorted=1)
    weights = np.asarray(model.estimator_weights_[: len(members)], dtype=np.float64)
    below = graph.op("CumSum", graph.op("Gather", weights, order, axis=0), np.asarray(1, dtype=np.int64))
    half = graph.op("Mul", graph.op("Gather", below, size - 1, axis=1), np.asarray(0.5))
    reached = graph.cast(graph.op("GreaterOrEqual", below, half), np.int64)
    median = graph.op("ArgMax", reached, axis=1, keepdims=1)
    return Prediction(values=graph.op("GatherElements", ordered, median, axis=1))


@emits("BaggingClassifier")
def _bagged_classifier(graph: Graph, model: Any, source: Matrix) -> Prediction:
    """The mean of probabilities, or of votes; members know the classes by number, and perhaps not all of them."""
    parts = []
    for member, chosen in _bags(graph, model, source):
        inner = emit_predictor(graph, member, chosen)
        seen = np.asarray(member.classes_, dtype=np.int64)
        spread = np.eye(len(model.classes_))[seen]
        if inner.probabilities is None or not hasattr(member, "predict_proba"):
            parts.append(graph.op("Gather", spread, _required(inner.labels, member), axis=0))
        elif len(seen) == len(model.classes_):
            parts.append(inner.probabilities)
        else:
            parts.append(graph.op("MatMul", inner.probabilities, spread))
    mean = graph.op("Div", _sum(graph, parts), np.asarray(float(len(parts))))
    return Prediction(labels=arg_max(graph, mean), probabilities=mean)


@emits("BaggingRegressor")
def _bagged_regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    parts = [_values(graph, member, chosen) for member, chosen in _bags(graph, model, source)]
    return Prediction(values=graph.op("Div", _sum(graph, parts), np.asarray(float(len(parts)))))


def _bags(graph: Graph, model: Any, source: Matrix) -> list[tuple[Any, Matrix]]:
    members = _few(model.estimators_)
    return [
        (member, graph.gather(source, [int(column) for column in columns]))
        for member, columns in zip(members, model.estimators_features_, strict=True)
    ]


@emits("StackingClassifier", "StackingRegressor")
def _stacked(graph: Graph, model: Any, source: Matrix) -> Prediction:
    """Members' answers side by side, then the last estimator; it knows the classes by number."""
    classes = getattr(model, "classes_", None)
    parts = [
        _stack_column(graph, member, source, method=method, n_classes=0 if classes is None else len(classes))
        for member, method in zip(_few(model.estimators_), model.stack_method_, strict=True)
    ]
    answers = graph.concat([*parts, source] if model.passthrough else parts)
    last = model.final_estimator_
    if classes is not None and not np.array_equal(last.classes_, np.arange(len(classes))):
        raise NotConvertible("a stack whose last estimator has not seen every class has no compiled form")
    return emit_predictor(graph, last, answers)


def _stack_column(graph: Graph, member: Any, source: Matrix, *, method: str, n_classes: int) -> Matrix:
    if method == "predict" and n_classes == 0:
        return Matrix(_values(graph, member, source), 1)
    inner = emit_predictor(graph, member, source)
    if method == "predict_proba" and len(member.classes_) == n_classes:
        name = _required(inner.probabilities, member)
        if n_classes > 2:
            return Matrix(name, n_classes)
        return Matrix(graph.op("Gather", name, _AXIS_1, axis=1), 1)
    if method == "decision_function" and inner.scores is not None:
        return Matrix(inner.scores, 1 if n_classes == 2 else n_classes)
    raise NotConvertible(f"stacking what {method} of {type(member).__name__} gives has no compiled form")


def emit_votes(graph: Graph, members: Sequence[Any], weights: Any, *, source: Matrix) -> Prediction:
    """Add a hard vote among classifiers that know the classes by number (``VotingClassifier.predict``)."""
    classes = np.arange(len(members[0].classes_))
    shares = np.ones(len(members)) if weights is None else np.asarray(weights, dtype=np.float64)
    votes = [
        graph.op("Gather", np.eye(len(classes)) * share, _labels(graph, member, source, classes), axis=0)
        for member, share in zip(members, shares, strict=True)
    ]
    return Prediction(labels=arg_max(graph, _sum(graph, votes)))


@emits("TransformedTargetRegressor")
def _other_target(graph: Graph, model: Any, source: Matrix) -> Prediction:
    inner = emit_predictor(graph, model.regressor_, source)
    width = 1 if model._training_dim == 1 else int(np.atleast_1d(model.n_outputs_)[0])
    values = Matrix(_required(inner.values, model.regressor_), width)
    return Prediction(values=invert_transformer(graph, model.transformer_, values).name)


def _labels(graph: Graph, member: Any, source: Matrix, classes: Any) -> str:
    """Return the member's answer as an index of ``classes``, of which it may have seen some only."""
    labels = _required(emit_predictor(graph, member, source).labels, member)
    if np.array_equal(member.classes_, classes):
        return labels
    place = np.searchsorted(classes, member.classes_)
    if not np.array_equal(np.asarray(classes)[place.clip(max=len(classes) - 1)], member.classes_):
        raise NotConvertible(f"the classes of a {type(member).__name__} inside are not those of the whole")
    return graph.op("Gather", place.astype(np.int64), labels, axis=0)


def _values(graph: Graph, member: Any, source: Matrix) -> str:
    """Return the answer of a regressor of one target, ``(n_rows, 1)``."""
    values = _required(emit_predictor(graph, member, source).values, member)
    return graph.op("Reshape", values, np.asarray([-1, 1], dtype=np.int64))


def _required(name: str | None, member: Any) -> str:
    if name is None:
        raise NotConvertible(f"{type(member).__name__} lacks what is combined, and so has no compiled form")
    return name


def _few(members: Any) -> list[Any]:
    if len(members) > MAX_MEMBERS:
        raise NotConvertible(f"more than {MAX_MEMBERS} estimators inside one have no compiled form")
    return list(members)


def _sum(graph: Graph, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else graph.op("Sum", *parts)


def _concat(graph: Graph, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else graph.op("Concat", *parts, axis=1)
