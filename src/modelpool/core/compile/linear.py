"""Compiled forms of linear models, naive Bayes and multi-layer perceptrons."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelpool.core.compile.graph import Graph, Matrix, NotConvertible
from modelpool.core.compile.predictors import Prediction, affine, arg_max, emits, is_positive, two_columns


@emits(
    "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "BayesianRidge",
    "ARDRegression", "HuberRegressor", "SGDRegressor", "LinearSVR", "TheilSenRegressor", "Lars", "LassoLars",
    "OrthogonalMatchingPursuit", "PassiveAggressiveRegressor", "QuantileRegressor",
)  # fmt: skip
def _regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    return Prediction(values=affine(graph, source.name, model.coef_, model.intercept_))


@emits("PoissonRegressor", "GammaRegressor")
def _log_link_regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    return Prediction(values=graph.op("Exp", affine(graph, source.name, model.coef_, model.intercept_)))


@emits("RidgeClassifier", "RidgeClassifierCV", "LinearSVC", "Perceptron", "PassiveAggressiveClassifier")
def _score_classifier(graph: Graph, model: Any, source: Matrix) -> Prediction:
    scores = affine(graph, source.name, model.coef_, model.intercept_)
    labels = is_positive(graph, scores) if len(model.classes_) == 2 else arg_max(graph, scores)
    return Prediction(labels=labels, scores=scores)


@emits("LogisticRegression", "LogisticRegressionCV")
def _logistic(graph: Graph, model: Any, source: Matrix) -> Prediction:
    scored = _score_classifier(graph, model, source)
    assert scored.scores is not None
    if len(model.classes_) == 2:
        probabilities = two_columns(graph, graph.op("Sigmoid", scored.scores))
    else:
        probabilities = graph.op("Softmax", scored.scores, axis=1)
    return Prediction(labels=scored.labels, scores=scored.scores, probabilities=probabilities)


@emits("SGDClassifier")
def _sgd(graph: Graph, model: Any, source: Matrix) -> Prediction:
    scored = _score_classifier(graph, model, source)
    if model.loss != "log_loss" or len(model.classes_) != 2 or scored.scores is None:
        if model.loss in ("log_loss", "modified_huber"):
            raise NotConvertible(f"SGDClassifier with loss={model.loss!r} and these classes has no compiled form")
        return scored
    probabilities = two_columns(graph, graph.op("Sigmoid", scored.scores))
    return Prediction(labels=scored.labels, scores=scored.scores, probabilities=probabilities)


@emits("GaussianNB")
def _gaussian_naive_bayes(graph: Graph, model: Any, source: Matrix) -> Prediction:
    """Logarithm of prior times density, ``naive_bayes.GaussianNB._joint_log_likelihood`` with the square kept whole."""
    mean, variance = np.asarray(model.theta_), np.asarray(model.var_)
    constant = np.log(model.class_prior_) - 0.5 * np.sum(np.log(2.0 * np.pi * variance), axis=1)
    rows = graph.op("Unsqueeze", source.name, np.asarray([1], dtype=np.int64))
    distance = graph.op("Sub", rows, mean[np.newaxis])
    squares = graph.op("Div", graph.op("Mul", distance, distance), variance[np.newaxis])
    total = graph.op("ReduceSum", squares, np.asarray([2], dtype=np.int64), keepdims=0)
    return _from_log_likelihood(graph, graph.op("Sub", constant, graph.op("Mul", total, np.asarray(0.5))))


@emits("MultinomialNB")
def _multinomial_naive_bayes(graph: Graph, model: Any, source: Matrix) -> Prediction:
    return _from_log_likelihood(graph, affine(graph, source.name, model.feature_log_prob_, model.class_log_prior_))


@emits("BernoulliNB")
def _bernoulli_naive_bayes(graph: Graph, model: Any, source: Matrix) -> Prediction:
    name = source.name
    if model.binarize is not None:
        name = graph.cast(graph.op("Greater", name, np.asarray(float(model.binarize))), np.float64)
    absent = np.log1p(-np.exp(model.feature_log_prob_))
    bias = model.class_log_prior_ + absent.sum(axis=1)
    return _from_log_likelihood(graph, affine(graph, name, model.feature_log_prob_ - absent, bias))


def _from_log_likelihood(graph: Graph, joint: str) -> Prediction:
    return Prediction(labels=arg_max(graph, joint), probabilities=graph.op("Softmax", joint, axis=1))


_ACTIVATIONS = {"relu": "Relu", "logistic": "Sigmoid", "tanh": "Tanh"}


@emits("MLPClassifier", "MLPRegressor")
def _perceptron(graph: Graph, model: Any, source: Matrix) -> Prediction:
    name = source.name
    last = len(model.coefs_) - 1
    for index, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        name = affine(graph, name, np.asarray(weights).T, bias)
        if index < last and model.activation != "identity":
            name = graph.op(_ACTIVATIONS[model.activation], name)
    if model.out_activation_ == "identity":
        return Prediction(values=name)
    if model.out_activation_ == "softmax":
        return Prediction(labels=arg_max(graph, name), probabilities=graph.op("Softmax", name, axis=1))
    if len(model.classes_) != 2:
        raise NotConvertible("multi-label perceptrons have no compiled form")
    return Prediction(labels=is_positive(graph, name), probabilities=two_columns(graph, graph.op("Sigmoid", name)))
