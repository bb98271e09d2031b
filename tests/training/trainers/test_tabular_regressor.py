"""Every regression algorithm, and the figures it reports."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from modelpool.core.testing.recording_run import RecordingRun
from modelpool.core.trainer import TrainedModel
from modelpool.training.trainers.algorithms import REGRESSORS
from modelpool.training.trainers.params import TabularRegressorParams
from modelpool.training.trainers.splitting import hold_out
from modelpool.training.trainers.tabular_regressor import TabularRegressor
from tests.training.trainers.frames import MIXED_COLUMNS

SMALL = {"n_estimators": 20, "max_depth": 4}


def train(frame: pd.DataFrame, algorithm: str, **given: Any) -> tuple[TrainedModel, RecordingRun]:
    """Train on ``score``: small models, two folds."""
    small = {name: value for name, value in SMALL.items() if name in REGRESSORS[algorithm].takes}
    params = TabularRegressorParams(algorithm=algorithm, **{"cv_folds": 2, **small, **given})
    run = RecordingRun(frame, target="score", columns=MIXED_COLUMNS, params=params)
    return TabularRegressor().train(run), run


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", REGRESSORS)
@pytest.mark.parametrize("table", ["mixed", "numeric"])
def test_trains_on(request: pytest.FixtureRequest, algorithm: str, table: str) -> None:
    given = {"alpha": 0.1} if "alpha" in REGRESSORS[algorithm].takes else {}
    trained, run = train(request.getfixturevalue(table), algorithm, **given)
    assert trained.metrics["r2"] > 0.2
    assert trained.metrics["cv_r2"] > 0.1
    assert trained.metrics == run.metrics
    assert trained.primary_metric == "r2"
    assert trained.signature is not None
    assert trained.signature.classes is None
    assert [(spec.name, spec.dtype, spec.shape) for spec in trained.signature.outputs] == [
        ("predict", "float64", (-1,))
    ]
    assert np.isfinite(trained.estimator.predict(trained.sample)).all()
    json.dumps([trained.figures, trained.metrics, trained.signature.to_dict()], allow_nan=False)


def test_hold_out_metrics_follow_from_their_definitions(numeric: pd.DataFrame) -> None:
    trained, _ = train(numeric, "ridge", seed=4, alpha=2.0)
    fit_on, measured = hold_out(len(numeric), share=0.2, seed=4, strata=None)
    features, labels = numeric[["a", "b", "c"]], numeric.score.to_numpy()
    model = clone(trained.estimator).fit(features.iloc[fit_on], labels[fit_on])
    truth = labels[measured]
    error = truth - model.predict(features.iloc[measured])
    expected = {
        "r2": 1 - (error**2).sum() / ((truth - truth.mean()) ** 2).sum(),
        "rmse": np.sqrt((error**2).mean()),
        "mae": abs(error).mean(),
        "median_absolute_error": np.median(abs(error)),
        "max_error": abs(error).max(),
        "explained_variance": 1 - error.var() / truth.var(),
    }
    found = {name: value for name, value in trained.metrics.items() if not name.startswith("cv_")}
    assert found == pytest.approx(expected, rel=1e-9)
    shown = trained.figures["predicted_vs_actual"]
    np.testing.assert_allclose(shown["actual"], truth)
    np.testing.assert_allclose(np.array(shown["actual"]) - shown["predicted"], error, atol=1e-12)
    assert sum(trained.figures["residuals"]["counts"]) == len(truth)


def test_whole_numbers_are_quantities(numeric: pd.DataFrame) -> None:
    frame = numeric.assign(score=(10 * numeric.score).round().astype("int64"))
    assert train(frame, "linear_regression")[0].metrics["r2"] > 0.5


def test_same_seed_gives_the_same_model(mixed: pd.DataFrame) -> None:
    first, second = (train(mixed, "extra_trees", seed=3)[0] for _ in range(2))
    assert first.metrics == second.metrics
    np.testing.assert_array_equal(first.estimator.predict(first.sample), second.estimator.predict(first.sample))
