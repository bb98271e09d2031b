"""Estimators around estimators compile as well, also around pipelines that choose columns by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import Binarizer, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelpool.core.compile import compile_estimator
from modelpool.core.compile.parity import TOLERANCE, as_arrays
from modelpool.core.formats import FORMATS
from modelpool.core.signature import ModelSignature, TensorSpec
from tests.core.compile.families import TEXTS, labels_of, pipeline, score_of, signature_for, table


def _logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=500)


def _tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=4, random_state=0)


def _forest() -> RandomForestClassifier:
    return RandomForestClassifier(5, random_state=0)


CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "adaboost": lambda: pipeline(AdaBoostClassifier(n_estimators=8, random_state=0)),
    "bagging": lambda: pipeline(BaggingClassifier(n_estimators=4, max_features=0.6, random_state=0)),
    "bagging_votes": lambda: pipeline(BaggingClassifier(LinearSVC(), n_estimators=4, random_state=0)),
    "bagging_few_rows": lambda: pipeline(BaggingClassifier(_tree(), n_estimators=6, max_samples=4, random_state=3)),
    "stacking": lambda: pipeline(StackingClassifier([("a", _logistic()), ("b", _tree()), ("c", LinearSVC())])),
    "stacking_through": lambda: pipeline(
        StackingClassifier([("a", _logistic())], final_estimator=_forest(), passthrough=True)
    ),
    "stacked_pipelines": lambda: StackingClassifier([("a", pipeline(_logistic())), ("b", pipeline(_tree()))]),
    "voting_pipelines": lambda: VotingClassifier(
        [("a", pipeline(_logistic())), ("b", pipeline(GaussianNB()))], voting="soft", weights=[2, 1]
    ),
    "votes": lambda: pipeline(VotingClassifier([("a", _logistic()), ("b", _tree()), ("c", GaussianNB())])),
    "centroid": lambda: pipeline(NearestCentroid()),
    "centroid_priors": lambda: pipeline(NearestCentroid(priors="empirical", shrink_threshold=0.1)),
    "calibrated_pipelines": lambda: CalibratedClassifierCV(pipeline(_logistic()), cv=3),
    "weighted_columns": lambda: _weighted(pipeline(_logistic())),
    "union_of_columns": lambda: make_pipeline(
        FeatureUnion([("a", _columns("age", "income")), ("b", _columns("city"))], transformer_weights={"a": 0.5}),
        StandardScaler(),
        _logistic(),
    ),
    "nested_pipelines": lambda: make_pipeline(make_pipeline(_columns("plan", "visits")), _logistic()),
    "polynomial": lambda: _with_step(PolynomialFeatures(3), _logistic()),
    "binarizer": lambda: _with_step(Binarizer(), _logistic()),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "adaboost": lambda: pipeline(AdaBoostRegressor(n_estimators=7, random_state=0)),
    "bagging": lambda: pipeline(BaggingRegressor(DecisionTreeRegressor(max_depth=4), n_estimators=4, random_state=0)),
    "stacking": lambda: pipeline(
        StackingRegressor([("a", Ridge()), ("b", RandomForestRegressor(4, random_state=0))], passthrough=True)
    ),
    "scaled_target": lambda: TransformedTargetRegressor(pipeline(Ridge()), transformer=StandardScaler()),
    "logarithm": lambda: pipeline(TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1)),
}


def _with_step(step: Any, model: Any) -> Pipeline:
    whole = pipeline(model)
    whole.steps.insert(1, ("step", step))
    return whole


def _columns(*names: str) -> ColumnTransformer:
    """Choose columns by name: numbers with gaps filled, text encoded."""
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [(name, encode if name in TEXTS else SimpleImputer(), [name]) for name in names]
    return ColumnTransformer(parts)


def _weighted(whole: Pipeline) -> Pipeline:
    whole.steps[0][1].set_params(transformer_weights={"numbers": 2.0})
    return whole


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return table()


@pytest.fixture(scope="module")
def unseen() -> pd.DataFrame:
    rows = table(500).iloc[240:].reset_index(drop=True)
    rows.loc[:5, "city"] = "Atlantis"
    rows.loc[7:12, "age"] = np.nan
    return rows


def _fit(model: Any, frame: pd.DataFrame, target: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(frame, target)


@pytest.mark.parametrize("kind", ["binary_text", "int"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_compiles_to_equal_answers(name: str, kind: str, frame: pd.DataFrame, unseen: pd.DataFrame) -> None:
    model = _fit(CLASSIFIERS[name](), frame, labels_of(frame, kind))
    signature = signature_for(frame, classes=model.classes_, has_probabilities=hasattr(model, "predict_proba"))
    made = compile_estimator(model, signature=signature, sample=frame)
    assert made.parity.equal, made.parity.reason
    assert made.data is not None
    answers = FORMATS["onnx"].load(made.data, signature).predict(as_arrays(unseen, signature), signature.methods)
    assert answers["predict"].tolist() == model.predict(unseen).tolist()
    if "predict_proba" in answers:
        np.testing.assert_allclose(answers["predict_proba"], model.predict_proba(unseen), atol=TOLERANCE)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor_compiles_to_equal_answers(name: str, frame: pd.DataFrame, unseen: pd.DataFrame) -> None:
    model = _fit(REGRESSORS[name](), frame, score_of(frame))
    signature = signature_for(frame)
    made = compile_estimator(model, signature=signature, sample=frame)
    assert made.parity.equal, made.parity.reason
    assert made.data is not None
    answers = FORMATS["onnx"].load(made.data, signature).predict(as_arrays(unseen, signature), ["predict"])
    np.testing.assert_allclose(answers["predict"], model.predict(unseen), rtol=TOLERANCE)


def test_answers_that_are_nan_on_both_sides_are_equal() -> None:
    """The logarithm of a negative prediction is NaN by scikit-learn and by the graph."""
    rows = np.linspace(-1.0, 3.0, 60).reshape(-1, 1)
    model = TransformedTargetRegressor(Ridge(), func=np.exp, inverse_func=np.log, check_inverse=False)
    model = _fit(model, rows, rows[:, 0])
    signature = ModelSignature((TensorSpec("x", "float64", (-1, 1)),), (TensorSpec("predict", "float64"),))
    with np.errstate(invalid="ignore"):
        assert np.isnan(model.predict(rows * 9)).any()
    made = compile_estimator(model, signature=signature, sample=rows)
    assert made.parity.equal, made.parity.reason
