"""The figures that trainers log: scikit-learn's own, thinned, of rows that were held out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from modelpool.training.trainers.classification_metrics import MAX_POINTS, classification_figures
from modelpool.training.trainers.regression_metrics import regression_figures

N_ROWS = 4000


def answers(n_classes: int, *, n_rows: int = N_ROWS, seed: int = 5) -> tuple[Any, Any, Any]:
    """Return truth, prediction and probabilities of a model that is right more often than not."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, n_classes, n_rows)
    scores = generator.gamma(1.0, size=(n_rows, n_classes))
    scores[np.arange(n_rows), truth] += generator.gamma(1.0, size=n_rows)
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    return truth, probabilities.argmax(axis=1), probabilities


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_confusion_matrix_is_that_of_scikit_learn(n_classes: int) -> None:
    truth, predicted, probabilities = answers(n_classes)
    figure = classification_figures(truth, predicted, probabilities, classes=list("abc"[:n_classes]))[
        "confusion_matrix"
    ]
    assert figure["matrix"] == metrics.confusion_matrix(truth, predicted).tolist()
    assert figure["labels"] == list("abc"[:n_classes])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_curves_lie_on_those_of_scikit_learn(n_classes: int) -> None:
    truth, predicted, probabilities = answers(n_classes)
    figures = classification_figures(truth, predicted, probabilities, classes=range(n_classes))
    assert len(figures["roc"]["curves"]) == (1 if n_classes == 2 else 3)
    for roc, recall in zip(figures["roc"]["curves"], figures["precision_recall"]["curves"], strict=True):
        is_label, score = truth == roc["label"], probabilities[:, roc["label"]]
        false_rate, true_rate, _ = metrics.roc_curve(is_label, score)
        assert len(roc["fpr"]) == MAX_POINTS < len(false_rate)
        assert set(zip(roc["fpr"], roc["tpr"], strict=True)) <= set(zip(false_rate, true_rate, strict=True))
        assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
        assert roc["auc"] == metrics.roc_auc_score(is_label, score)
        assert np.trapezoid(roc["tpr"], roc["fpr"]) == pytest.approx(roc["auc"], abs=0.002)
        precision, found, _ = metrics.precision_recall_curve(is_label, score)
        assert len(recall["recall"]) == MAX_POINTS
        assert set(zip(recall["recall"], recall["precision"], strict=True)) <= set(zip(found, precision, strict=True))
        assert recall["average_precision"] == metrics.average_precision_score(is_label, score)


def test_calibration_is_that_of_scikit_learn() -> None:
    truth, predicted, probabilities = answers(2)
    (curve,) = classification_figures(truth, predicted, probabilities, classes=[False, True])["calibration"]["curves"]
    observed, expected = calibration_curve(truth, probabilities[:, 1], n_bins=10)
    assert curve["observed"] == pytest.approx(observed)
    assert curve["predicted"] == pytest.approx(expected)
    assert sum(curve["count"]) == N_ROWS


def test_of_many_classes_the_most_frequent_have_curves() -> None:
    truth, predicted, probabilities = answers(40)
    rare = truth < 30
    truth = np.where(rare & (np.arange(N_ROWS) % 4 > 0), 35, truth)  # the first thirty are rare now
    figures = classification_figures(truth, predicted, probabilities, classes=range(40))
    counts = np.bincount(truth, minlength=40)
    drawn = [curve["label"] for curve in figures["roc"]["curves"]]
    assert len(drawn) == 20
    assert set(range(30, 40)) <= set(drawn)
    assert min(counts[drawn]) >= max(counts[[label for label in range(40) if label not in drawn]])
    assert len(json.dumps(figures)) < 500_000


def test_a_class_that_is_not_held_out_has_no_curve() -> None:
    truth, predicted, probabilities = answers(3)
    is_kept = truth != 1
    figures = classification_figures(truth[is_kept], predicted[is_kept], probabilities[is_kept], classes=range(3))
    assert [curve["label"] for curve in figures["roc"]["curves"]] == [0, 2]
    assert np.array(figures["confusion_matrix"]["matrix"])[1].sum() == 0
    json.dumps(figures, allow_nan=False)


def test_residuals_are_counted_and_a_part_of_the_rows_is_shown() -> None:
    generator = np.random.default_rng(2)
    truth = generator.normal(size=N_ROWS)
    predicted = truth + generator.normal(0, 0.1, N_ROWS)
    figures = regression_figures(truth, predicted, seed=1)
    shown = figures["predicted_vs_actual"]
    assert len(shown["actual"]) == len(shown["predicted"]) == 500
    assert set(zip(shown["actual"], shown["predicted"], strict=True)) <= set(zip(truth, predicted, strict=True))
    counts, edges = np.histogram(truth - predicted, bins=30)
    assert figures["residuals"]["counts"] == counts.tolist()
    assert figures["residuals"]["edges"] == edges.tolist()
    assert figures == regression_figures(truth, predicted, seed=1)
