"""How much each column of the table counts for a fitted pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.training.trainers.features import FeaturePlan

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

_PERMUTED_ROWS = 200
_REPEATS = 3
_MAX_PERMUTED_COLUMNS = 100


def feature_importance(
    pipeline: Pipeline, *, plan: FeaturePlan, features: pd.DataFrame, labels: np.ndarray[Any, Any], seed: int
) -> Mapping[str, Any] | None:
    """Return the figure: names and shares by original column, the largest first, and by which method.

    Trees tell their loss of impurity, linear models the size of their coefficients on scaled columns; for others up
    to 200 of the rows ``features`` and ``labels`` are shuffled column by column (Breiman 2001, section 10). ``None``
    where that would take too long: more than 100 columns.
    """
    model = pipeline.named_steps["model"]
    if hasattr(model, "feature_importances_"):
        method, weights = "impurity", _by_column(model.feature_importances_, plan)
    elif hasattr(model, "coef_"):
        method, weights = "coefficient", _by_column(np.atleast_2d(np.abs(model.coef_)).mean(axis=0), plan)
    elif len(plan.names) <= _MAX_PERMUTED_COLUMNS:
        method, weights = "permutation", _by_shuffling(pipeline, features=features, labels=labels, seed=seed)
    else:
        return None
    total = float(weights.sum()) or 1.0
    order = np.argsort(-weights, kind="stable")
    ranked = _in_table_order(plan, method)
    return {
        "kind": "feature_importance",
        "method": method,
        "features": [ranked[position] for position in order],
        "importances": [float(weights[position] / total) for position in order],
    }


def _in_table_order(plan: FeaturePlan, method: str) -> tuple[str, ...]:
    return plan.names if method == "permutation" else _prepared_names(plan)


def _prepared_names(plan: FeaturePlan) -> tuple[str, ...]:
    return (*plan.numbers, *plan.datetimes, *plan.booleans, *plan.categories)


def _by_column(weights: np.ndarray[Any, Any], plan: FeaturePlan) -> np.ndarray[Any, Any]:
    """Sum the weights of prepared columns, ``(n_prepared,)``, over the columns that each text was spread to."""
    widths = [len(plan.categories.get(name, ("",))) for name in _prepared_names(plan)]
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
    return np.add.reduceat(np.asarray(weights, dtype=np.float64), starts)


def _by_shuffling(
    pipeline: Pipeline, *, features: pd.DataFrame, labels: np.ndarray[Any, Any], seed: int
) -> np.ndarray[Any, Any]:
    from sklearn.inspection import permutation_importance

    rows = np.random.default_rng(seed).permutation(len(features))[:_PERMUTED_ROWS]
    result = permutation_importance(pipeline, features.iloc[rows], labels[rows], n_repeats=_REPEATS, random_state=seed)
    importances: np.ndarray[Any, Any] = np.clip(result.importances_mean, 0.0, None)
    return importances
