"""Metrics and figures of a classifier, as plain data.

Labels are positions in the list of classes throughout, ``(n_rows,)`` int64; probabilities are
``(n_rows, n_classes)``. Definitions are scikit-learn's; what one hold-out cannot say (the AUC of a class that is not
in it) is left out of an average.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

MAX_POINTS = 200
_MAX_CURVES = 20
_CALIBRATION_BINS = 10

Array = np.ndarray[Any, Any]


def classification_metrics(truth: Array, predicted: Array, probabilities: Array) -> dict[str, float]:
    """Return accuracy, balanced_accuracy, f1_macro, f1_weighted, precision_macro, recall_macro, log_loss, roc_auc.

    ``roc_auc`` is of the second of two classes, or one against the rest, averaged over the classes.
    """
    from sklearn import metrics

    n_classes = probabilities.shape[1]
    figures = {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": np.mean([np.mean(predicted[truth == label] == label) for label in np.unique(truth)]),
        "f1_macro": metrics.f1_score(truth, predicted, average="macro", zero_division=0.0),
        "f1_weighted": metrics.f1_score(truth, predicted, average="weighted", zero_division=0.0),
        "precision_macro": metrics.precision_score(truth, predicted, average="macro", zero_division=0.0),
        "recall_macro": metrics.recall_score(truth, predicted, average="macro", zero_division=0.0),
        "log_loss": metrics.log_loss(truth, probabilities, labels=np.arange(n_classes)),
    }
    areas = [metrics.roc_auc_score(is_label, score) for _, is_label, score in _curves(truth, probabilities)]
    if areas:
        figures["roc_auc"] = np.mean(areas)
    return {name: float(value) for name, value in figures.items()}


def classification_figures(
    truth: Array, predicted: Array, probabilities: Array, *, classes: Sequence[Any]
) -> dict[str, Mapping[str, Any]]:
    """Return confusion_matrix, roc, precision_recall and calibration.

    Curves are of the 20 most frequent classes at most, in the order of the classes, with 200 points each at most; their
    areas are those of all points.
    """
    from sklearn.metrics import confusion_matrix

    matrix = confusion_matrix(truth, predicted, labels=np.arange(len(classes)))
    frequent = set(np.argsort(-matrix.sum(axis=1), kind="stable")[:_MAX_CURVES].tolist())
    found = _curves(truth, probabilities)
    curves = [(classes[label], is_label, score) for label, is_label, score in found if label in frequent]
    return {
        "confusion_matrix": {"kind": "confusion_matrix", "labels": list(classes), "matrix": matrix.tolist()},
        "roc": {"kind": "roc", "curves": [_roc(*curve) for curve in curves]},
        "precision_recall": {"kind": "precision_recall", "curves": [_precision_recall(*curve) for curve in curves]},
        "calibration": {"kind": "calibration", "curves": [_calibration(*curve) for curve in curves]},
    }


def _curves(truth: Array, probabilities: Array) -> Iterator[tuple[int, Array, Array]]:
    """Yield each class that can be scored against the rest: the second one of two, or all of more."""
    n_classes = probabilities.shape[1]
    for label in range(1 if n_classes == 2 else 0, n_classes):
        is_label = truth == label
        if is_label.any() and not is_label.all():
            yield label, is_label, probabilities[:, label]


def _roc(label: Any, is_label: Array, score: Array) -> dict[str, Any]:
    from sklearn.metrics import roc_auc_score, roc_curve

    false_rate, true_rate, _ = roc_curve(is_label, score)
    kept = thin(len(false_rate))
    area = float(roc_auc_score(is_label, score))
    return {"label": label, "fpr": false_rate[kept].tolist(), "tpr": true_rate[kept].tolist(), "auc": area}


def _precision_recall(label: Any, is_label: Array, score: Array) -> dict[str, Any]:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, _ = precision_recall_curve(is_label, score)
    kept = thin(len(precision))
    return {
        "label": label,
        "precision": precision[kept].tolist(),
        "recall": recall[kept].tolist(),
        "average_precision": float(average_precision_score(is_label, score)),
    }


def _calibration(label: Any, is_label: Array, score: Array) -> dict[str, Any]:
    """Mean probability and share of the class in ten bins of equal width; empty bins are left out."""
    bins = np.minimum((score * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    used = [bins == number for number in np.unique(bins)]
    return {
        "label": label,
        "predicted": [float(score[rows].mean()) for rows in used],
        "observed": [float(is_label[rows].mean()) for rows in used],
        "count": [int(rows.sum()) for rows in used],
    }


def thin(n_points: int) -> Array:
    """Return the positions of at most :data:`MAX_POINTS` points of a curve, its ends among them."""
    return np.unique(np.linspace(0, n_points - 1, min(n_points, MAX_POINTS)).round().astype(np.int64))
