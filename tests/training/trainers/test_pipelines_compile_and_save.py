"""What the built-in trainers make is served compiled, and kept in a file that holds no code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelpool.core.compile.estimator import compile_estimator
from modelpool.core.formats.sklearn import SklearnFormat
from modelpool.core.testing.recording_run import RecordingRun
from modelpool.core.trainer import TrainedModel, Trainer
from modelpool.training.trainers.algorithms import CLASSIFIERS, REGRESSORS
from modelpool.training.trainers.tabular_classifier import TabularClassifier
from modelpool.training.trainers.tabular_regressor import TabularRegressor
from tests.training.trainers.frames import MIXED_COLUMNS, text

CASES = [(TabularClassifier(), name) for name in CLASSIFIERS] + [(TabularRegressor(), name) for name in REGRESSORS]


def train(trainer: Trainer, algorithm: str, mixed: pd.DataFrame, *, labels: Any) -> TrainedModel:
    takes = trainer.Params(algorithm=algorithm).chosen.takes  # type: ignore[call-arg, attr-defined]
    params = {"cv_folds": 0, **({"n_estimators": 10} if "n_estimators" in takes else {})}
    data = mixed.drop(columns="score").assign(label=labels)
    columns = {"target": "label", "columns": MIXED_COLUMNS}
    return trainer.train(RecordingRun(data, params=trainer.Params(algorithm=algorithm, **params), **columns))  # type: ignore[call-arg, arg-type]


def labels_of(trainer: Trainer, mixed: pd.DataFrame) -> Any:
    if isinstance(trainer, TabularRegressor):
        return mixed.score * 1000
    return text(np.array(["low", "mid", "high"])[np.digitize(mixed.score, np.quantile(mixed.score, [0.3, 0.6]))])


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "algorithm"), CASES)
def test_is_compiled_saved_and_loaded(trainer: Trainer, algorithm: str, mixed: pd.DataFrame) -> None:
    trained = train(trainer, algorithm, mixed, labels=labels_of(trainer, mixed))
    assert trained.signature is not None
    assert trained.sample is not None
    compiled = compile_estimator(trained.estimator, signature=trained.signature, sample=trained.sample)
    assert compiled.parity.reason is None
    assert compiled.parity.equal
    assert compiled.data
    data = SklearnFormat().save(trained.estimator, signature=trained.signature)
    loaded = SklearnFormat().load(data, trained.signature)
    answers = loaded.predict({name: trained.sample[name].to_numpy() for name in trained.sample}, ["predict"])
    np.testing.assert_array_equal(answers["predict"], trained.estimator.predict(trained.sample))


@pytest.mark.parametrize("labels", ["bool", "int"])
@pytest.mark.parametrize("algorithm", ["logistic_regression", "gradient_boosting", "svm"])
def test_compiled_form_keeps_the_type_of_the_classes(algorithm: str, labels: str, mixed: pd.DataFrame) -> None:
    above = mixed.score > mixed.score.median()
    trained = train(TabularClassifier(), algorithm, mixed, labels=above if labels == "bool" else above * 2 + 1)
    assert trained.signature is not None
    assert trained.sample is not None
    assert compile_estimator(trained.estimator, signature=trained.signature, sample=trained.sample).parity.equal
