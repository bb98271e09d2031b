"""Compiled forms of estimators around other estimators: calibration, searches, voting, pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelpool.core.compile.ensembles import emit_votes
from modelpool.core.compile.graph import Graph, Matrix, NotConvertible
from modelpool.core.compile.predictors import Prediction, arg_max, emit_predictor, emits, two_columns
from modelpool.core.compile.preprocessing import emit_transformer

_AXIS_1 = np.asarray([1], dtype=np.int64)


@emits("Pipeline")
def _pipeline(graph: Graph, model: Any, source: Matrix) -> Prediction:
    for _, step in model.steps[:-1]:
        source = emit_transformer(graph, step, source)
    return emit_predictor(graph, model.steps[-1][1], source)


@emits("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")
def _search(graph: Graph, model: Any, source: Matrix) -> Prediction:
    return emit_predictor(graph, model.best_estimator_, source)


@emits("CalibratedClassifierCV")
def _calibrated(graph: Graph, model: Any, source: Matrix) -> Prediction:
    parts = [_calibrated_part(graph, part, source) for part in model.calibrated_classifiers_]
    total = parts[0] if len(parts) == 1 else graph.op("Sum", *parts)
    probabilities = graph.op("Div", total, np.asarray(float(len(parts)))) if len(parts) > 1 else total
    return Prediction(labels=arg_max(graph, probabilities), probabilities=probabilities)


def _calibrated_part(graph: Graph, part: Any, source: Matrix) -> str:
    if part.method != "sigmoid":
        raise NotConvertible(f"calibration with method={part.method!r} has no compiled form")
    if not np.array_equal(part.estimator.classes_, part.classes):
        raise NotConvertible("a calibrated fold that has not seen every class has no compiled form")
    inner = emit_predictor(graph, part.estimator, source)
    n_classes = len(part.classes)
    scores = inner.scores or inner.probabilities
    if scores is None:
        raise NotConvertible("calibration of an estimator without scores has no compiled form")
    if n_classes == 2 and inner.scores is None:
        scores = graph.op("Gather", scores, _AXIS_1, axis=1)
    slope = np.asarray([calibrator.a_ for calibrator in part.calibrators], dtype=np.float64)
    offset = np.asarray([calibrator.b_ for calibrator in part.calibrators], dtype=np.float64)
    # not the operator Sigmoid: it gives 0 far out, where the classes' tiny probabilities still have a ratio
    power = graph.op("Exp", graph.op("Add", graph.op("Mul", scores, slope), offset))
    each = graph.op("Reciprocal", graph.op("Add", power, np.asarray(1.0)))
    if n_classes == 2:
        return two_columns(graph, each)
    total = graph.op("ReduceSum", each, _AXIS_1, keepdims=1)
    is_zero = graph.op("Equal", total, np.asarray(0.0))
    shared = graph.op("Div", each, graph.op("Where", is_zero, np.asarray(1.0), total))
    return graph.op("Where", is_zero, np.asarray(1.0 / n_classes), shared)


@emits("VotingClassifier")
def _voting_classifier(graph: Graph, model: Any, source: Matrix) -> Prediction:
    if model.voting != "soft":
        return emit_votes(graph, model.estimators_, model._weights_not_none, source=source)
    parts = [emit_predictor(graph, inner, source).probabilities for inner in model.estimators_]
    probabilities = _weighted_mean(graph, parts, model._weights_not_none)
    return Prediction(labels=arg_max(graph, probabilities), probabilities=probabilities)


@emits("VotingRegressor")
def _voting_regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    parts = [emit_predictor(graph, inner, source).values for inner in model.estimators_]
    return Prediction(values=_weighted_mean(graph, parts, model._weights_not_none))


def _weighted_mean(graph: Graph, parts: list[str | None], weights: Any) -> str:
    shares = np.ones(len(parts)) if weights is None else np.asarray(weights, dtype=np.float64)
    scaled = []
    for part, share in zip(parts, shares / shares.sum(), strict=True):
        if part is None:
            raise NotConvertible("voting among estimators without probabilities has no compiled form")
        scaled.append(graph.op("Mul", part, np.asarray(share)))
    return scaled[0] if len(scaled) == 1 else graph.op("Sum", *scaled)
