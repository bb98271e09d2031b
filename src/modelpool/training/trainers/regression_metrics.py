"""Metrics and figures of a regressor, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

MAX_POINTS = 500
_RESIDUAL_BINS = 30

Array = np.ndarray[Any, Any]


def regression_metrics(truth: Array, predicted: Array) -> dict[str, float]:
    """Return r2, rmse, mae, median_absolute_error, max_error and explained_variance, as scikit-learn defines them."""
    from sklearn import metrics

    figures = {
        "r2": metrics.r2_score(truth, predicted),
        "rmse": metrics.root_mean_squared_error(truth, predicted),
        "mae": metrics.mean_absolute_error(truth, predicted),
        "median_absolute_error": metrics.median_absolute_error(truth, predicted),
        "max_error": metrics.max_error(truth, predicted),
        "explained_variance": metrics.explained_variance_score(truth, predicted),
    }
    return {name: float(value) for name, value in figures.items()}


def regression_figures(truth: Array, predicted: Array, *, seed: int) -> dict[str, Mapping[str, Any]]:
    """Return predicted_vs_actual (at most 500 rows) and a histogram of the residuals, truth minus prediction."""
    n_shown = min(len(truth), MAX_POINTS)
    shown = np.sort(np.random.default_rng(seed).choice(len(truth), n_shown, replace=False))
    counts, edges = np.histogram(truth - predicted, bins=_RESIDUAL_BINS)
    return {
        "predicted_vs_actual": {
            "kind": "predicted_vs_actual",
            "actual": truth[shown].tolist(),
            "predicted": predicted[shown].tolist(),
        },
        "residuals": {"kind": "residuals", "edges": edges.tolist(), "counts": counts.tolist()},
    }
