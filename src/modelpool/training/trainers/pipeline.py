"""The scikit-learn pipeline: prepared columns, then the model.

Only scikit-learn's own classes and no functions, so that it can be written with skops; and steps whose arithmetic a
compiled model can repeat exactly. Numbers are scaled before gaps are filled, because a difference of float64 values
loses nothing when it is rounded to float32 afterwards, while a date in seconds rounded to float32 loses minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.training.trainers.features import FeaturePlan
from modelpool.training.trainers.params import TabularParams

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_MAX_CALIBRATION_FOLDS = 3


def build_pipeline(params: TabularParams, *, plan: FeaturePlan, labels: np.ndarray[Any, Any], seed: int) -> Pipeline:
    """Return the unfitted pipeline ``prepare`` → ``model`` for a frame with the columns ``plan.names``.

    ``labels`` are those it will be fitted on: the SVM's probabilities are calibrated on as many folds as its rarest
    class allows.
    """
    from sklearn.pipeline import Pipeline

    model = params.chosen.build(params.options, seed=seed)
    if params.chosen.class_name == "SVC":
        model = _calibrated(model, labels=labels)
    return Pipeline([("prepare", _build_preparation(params, plan=plan)), ("model", model)])


def _build_preparation(params: TabularParams, *, plan: FeaturePlan) -> Any:
    from sklearn.compose import ColumnTransformer

    algorithm = params.chosen
    numbers = _build_numeric(scale=algorithm.is_scaled, fill=not algorithm.takes_missing)
    datetimes = _build_numeric(scale=True, fill=not algorithm.takes_missing)
    steps = [
        ("numbers", numbers, list(plan.numbers)),
        ("datetimes", datetimes, list(plan.datetimes)),
        ("booleans", "passthrough", list(plan.booleans)),
        ("texts", _build_one_hot(plan), list(plan.categories)),
    ]
    used = [step for step in steps if step[2]]
    return ColumnTransformer(used, sparse_threshold=0.0, verbose_feature_names_out=False)


def _build_numeric(*, scale: bool, fill: bool) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps: list[tuple[str, Any]] = [("scale", StandardScaler())] if scale else []
    if fill:
        steps.append(("fill", SimpleImputer(strategy="median", keep_empty_features=True)))
    return Pipeline(steps) if steps else "passthrough"


def _build_one_hot(plan: FeaturePlan) -> Any:
    """Rare and unknown texts are all zeros: the categories are given, so no "infrequent" group is needed."""
    from sklearn.preprocessing import OneHotEncoder

    categories = [np.array(values, dtype=object) for values in plan.categories.values()]
    return OneHotEncoder(categories=categories, handle_unknown="ignore", sparse_output=False)


def _calibrated(model: Any, *, labels: np.ndarray[Any, Any]) -> Any:
    """An SVM has no probabilities of its own; Platt's sigmoid over cross-validated scores gives them."""
    from sklearn.calibration import CalibratedClassifierCV

    rarest = int(np.unique(labels, return_counts=True)[1].min())
    return CalibratedClassifierCV(model, ensemble=False, cv=min(_MAX_CALIBRATION_FOLDS, rarest))
