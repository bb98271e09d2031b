"""Compiled forms of models that compare a row with kept rows: k nearest neighbours and support vector machines."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from modelpool.core.compile.graph import MICROSOFT, Graph, Matrix, NotConvertible
from modelpool.core.compile.predictors import Prediction, arg_max, emits, is_positive

_AXIS_1, _AXIS_2 = np.asarray([1], dtype=np.int64), np.asarray([2], dtype=np.int64)


@emits("KNeighborsClassifier")
def _neighbours_classifier(graph: Graph, model: Any, source: Matrix) -> Prediction:
    if model.outputs_2d_:
        raise NotConvertible("k nearest neighbours with several targets has no compiled form")
    votes = np.eye(len(model.classes_))[np.asarray(model._y, dtype=np.int64)]
    probabilities = _neighbours_mean(graph, model, source, votes)
    return Prediction(labels=arg_max(graph, probabilities), probabilities=probabilities)


@emits("KNeighborsRegressor")
def _neighbours_regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    targets = np.asarray(model._y, dtype=np.float64)
    return Prediction(values=_neighbours_mean(graph, model, source, targets.reshape(len(targets), -1)))


def _neighbours_mean(graph: Graph, model: Any, source: Matrix, targets: np.ndarray) -> str:
    """Return the mean of ``targets`` ``(n_kept, k)`` over each row's neighbours, weighted as the model says."""
    metric = model.effective_metric_
    if metric not in ("euclidean", "minkowski") or (
        metric == "minkowski" and model.effective_metric_params_.get("p") != 2
    ):
        raise NotConvertible(f"k nearest neighbours with metric={metric!r} has no compiled form")
    if hasattr(model._fit_X, "toarray"):
        raise NotConvertible("k nearest neighbours over sparse data has no compiled form")
    kept = np.asarray(model._fit_X, dtype=np.float64)
    distances = graph.op("CDist", source.name, kept, domain=MICROSOFT, metric="sqeuclidean")
    _, nearest = graph.ops(
        "TopK", distances, np.asarray([model.n_neighbors], dtype=np.int64), n_outputs=2, axis=1, largest=0
    )
    chosen = graph.op("Gather", targets, nearest, axis=0)
    if model.weights == "uniform":
        return graph.op("ReduceMean", chosen, _AXIS_1, keepdims=0)
    if model.weights != "distance":
        raise NotConvertible("k nearest neighbours with weights of its own has no compiled form")
    weights = graph.op("Unsqueeze", _inverse_distances(graph, source, kept, nearest), _AXIS_2)
    total = graph.op("ReduceSum", graph.op("Mul", chosen, weights), _AXIS_1, keepdims=0)
    return graph.op("Div", total, graph.op("ReduceSum", weights, _AXIS_1, keepdims=0))


def _inverse_distances(graph: Graph, source: Matrix, kept: np.ndarray, nearest: str) -> str:
    """Return ``(n_rows, k)``; neighbours at distance zero count alone (``neighbors/_base._get_weights``)."""
    rows = graph.op("Unsqueeze", source.name, _AXIS_1)
    difference = graph.op("Sub", rows, graph.op("Gather", kept, nearest, axis=0))
    distance = graph.op("Sqrt", graph.op("ReduceSum", graph.op("Mul", difference, difference), _AXIS_2, keepdims=0))
    is_same = graph.op("Equal", distance, np.asarray(0.0))
    same = graph.cast(is_same, np.float64)
    any_same = graph.op("Greater", graph.op("ReduceMax", same, _AXIS_1, keepdims=1), np.asarray(0.0))
    safe = graph.op("Where", is_same, np.asarray(1.0), distance)
    return graph.op("Where", any_same, same, graph.op("Reciprocal", safe))


@emits("SVR", "NuSVR")
def _support_regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    return Prediction(values=_decision(graph, model, source, np.asarray(model.dual_coef_).T, model.intercept_))


@emits("SVC", "NuSVC")
def _support_classifier(graph: Graph, model: Any, source: Matrix) -> Prediction:
    if len(model.classes_) == 2:
        return _support_binary(graph, model, source)
    if len(model.probA_):
        raise NotConvertible(
            "SVC(probability=True) with several classes couples them by iteration; use CalibratedClassifierCV"
        )
    if model.break_ties or model.decision_function_shape != "ovr":
        raise NotConvertible("SVC with break_ties or decision_function_shape='ovo' has no compiled form")
    decision = _decision(graph, model, source, _pair_weights(model), model._intercept_)
    return _from_pairs(graph, decision, len(model.classes_))


def _support_binary(graph: Graph, model: Any, source: Matrix) -> Prediction:
    scores = _decision(graph, model, source, np.asarray(model.dual_coef_).T, model.intercept_)
    probabilities = None
    if len(model.probA_):
        # Platt's sigmoid over libsvm's own decision value, which has the opposite sign (svm.cpp, sigmoid_predict).
        scaled = graph.op("Mul", scores, np.asarray(-float(model.probA_[0])))
        negative = graph.op("Sigmoid", graph.op("Neg", graph.op("Add", scaled, np.asarray(float(model.probB_[0])))))
        probabilities = graph.op("Concat", negative, graph.op("Sub", np.asarray(1.0), negative), axis=1)
    return Prediction(labels=is_positive(graph, scores), scores=scores, probabilities=probabilities)


def _decision(graph: Graph, model: Any, source: Matrix, weights: np.ndarray, bias: Any) -> str:
    if hasattr(model.support_vectors_, "toarray"):
        raise NotConvertible("support vector machines over sparse data have no compiled form")
    kernel = _kernel(graph, model, source.name, np.asarray(model.support_vectors_, dtype=np.float64))
    return graph.op("Gemm", kernel, np.ascontiguousarray(weights), np.asarray(bias, dtype=np.float64))


def _kernel(graph: Graph, model: Any, rows: str, vectors: np.ndarray) -> str:
    if model.kernel == "rbf":
        distances = graph.op("CDist", rows, vectors, domain=MICROSOFT, metric="sqeuclidean")
        return graph.op("Exp", graph.op("Mul", distances, np.asarray(-float(model._gamma))))
    product = graph.op("MatMul", rows, np.ascontiguousarray(vectors.T))
    if model.kernel == "linear":
        return product
    shifted = graph.op("Add", graph.op("Mul", product, np.asarray(float(model._gamma))), np.asarray(float(model.coef0)))
    if model.kernel == "poly":
        return graph.op("Pow", shifted, np.asarray(float(model.degree)))
    if model.kernel == "sigmoid":
        return graph.op("Tanh", shifted)
    raise NotConvertible(f"a support vector machine with kernel={model.kernel!r} has no compiled form")


def _pair_weights(model: Any) -> np.ndarray:
    """Return ``(n_vectors, n_pairs)``: libsvm keeps a vector's weight against class j in row j-1 or j."""
    ends = np.cumsum(model.n_support_)
    owner = np.searchsorted(ends, np.arange(ends[-1]), side="right")
    dual = np.asarray(model._dual_coef_)
    columns = []
    for i, j in combinations(range(len(model.classes_)), 2):
        columns.append(np.where(owner == i, dual[j - 1], 0.0) + np.where(owner == j, dual[i], 0.0))
    return np.stack(columns, axis=1)


def _from_pairs(graph: Graph, decision: str, n_classes: int) -> Prediction:
    """Votes and tie-breaking scores of one-against-one decisions (``utils.multiclass._ovr_decision_function``)."""
    signs = np.zeros((n_classes * (n_classes - 1) // 2, n_classes))
    for pair, (i, j) in enumerate(combinations(range(n_classes), 2)):
        signs[pair, i], signs[pair, j] = 1.0, -1.0
    is_first = graph.cast(graph.op("Greater", decision, np.asarray(0.0)), np.float64)
    is_second = graph.cast(graph.op("Not", graph.op("Greater", decision, np.asarray(0.0))), np.float64)
    votes = graph.op(
        "Add", graph.op("MatMul", is_first, np.maximum(signs, 0)), graph.op("MatMul", is_second, np.maximum(-signs, 0))
    )
    confidence = graph.op("MatMul", decision, signs)
    bounded = graph.op("Mul", graph.op("Add", graph.op("Abs", confidence), np.asarray(1.0)), np.asarray(3.0))
    return Prediction(labels=arg_max(graph, votes), scores=graph.op("Add", votes, graph.op("Div", confidence, bounded)))
