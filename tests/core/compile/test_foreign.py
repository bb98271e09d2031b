"""What only skl2onnx converts passes the same gate, fed like all others; what it gets wrong is refused in words."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import AdaBoostClassifier, IsolationForest, StackingClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, TweedieRegressor
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    Normalizer,
    OneHotEncoder,
    PowerTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from modelpool.core.compile import compile_estimator
from modelpool.core.compile.parity import as_arrays, compare
from modelpool.core.formats import FORMATS
from modelpool.core.formats.base import TableArrays
from modelpool.core.signature import ModelSignature, TensorSpec
from tests.core.compile.families import NUMBERS, TEXTS, labels_of, pipeline, score_of, signature_for, table

STEPS = {"whitened": PCA(3, whiten=True), "kernel": KernelPCA(2), "normalized": Normalizer()}
MODELS = {
    "quadratic": QuadraticDiscriminantAnalysis(reg_param=0.1),
    "linear": LinearDiscriminantAnalysis(),
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return table()


def _fit(model: Any, frame: pd.DataFrame, target: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(frame, target)


def _numeric(frame: pd.DataFrame, step: Any) -> ColumnTransformer:
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    numbers = make_pipeline(SimpleImputer(), StandardScaler(), step)
    return ColumnTransformer([("numbers", numbers, list(NUMBERS)), ("texts", texts, list(TEXTS))])


@pytest.mark.parametrize("name", [*STEPS, *MODELS])
def test_pipeline_with_a_foreign_step_compiles(name: str, frame: pd.DataFrame) -> None:
    """The step alone is converted; choice of columns, imputing and encoding stay ours, and so does the feed."""
    model = (
        pipeline(MODELS[name])
        if name in MODELS
        else Pipeline([("prepare", _numeric(frame, STEPS[name])), ("model", LogisticRegression(max_iter=500))])
    )
    model = _fit(model, frame, labels_of(frame, "text"))
    signature = signature_for(frame, classes=model.classes_)
    made = compile_estimator(model, signature=signature, sample=frame)
    assert made.parity.equal, made.parity.reason
    assert made.data is not None
    arrays = as_arrays(frame, signature)
    assert isinstance(arrays, TableArrays)
    loaded = FORMATS["onnx"].load(made.data, signature)
    for inputs in (arrays, {name: np.asarray(frame[name]) for name in frame.columns}):
        assert loaded.predict(inputs, ["predict"])["predict"].tolist() == model.predict(frame).tolist()


def test_unequal_conversion_is_refused(frame: pd.DataFrame) -> None:
    """Far out every class has the probability 0, and the converter then takes another class than scikit-learn."""
    model = _fit(pipeline(OneVsRestClassifier(LogisticRegression())), frame, labels_of(frame, "text"))
    made = compile_estimator(model, signature=signature_for(frame, classes=model.classes_), sample=frame)
    assert made.data is None
    assert "other labels" in str(made.parity.reason)
    assert made.parity.rows > len(frame)


def test_foreign_regressor_compiles(frame: pd.DataFrame) -> None:
    model = _fit(pipeline(TweedieRegressor(power=0)), frame, score_of(frame))
    made = compile_estimator(model, signature=signature_for(frame), sample=frame)
    assert made.parity.equal, made.parity.reason


def _matrix_signature(model: Any, width: int) -> ModelSignature:
    has_probabilities = hasattr(model, "predict_proba")
    outputs = [TensorSpec("predict", "float64" if not hasattr(model, "classes_") else "int64")]
    if has_probabilities:
        outputs.append(TensorSpec("predict_proba", "float64", (-1, len(model.classes_))))
    return ModelSignature(inputs=(TensorSpec("x", "float64", (-1, width)),), outputs=tuple(outputs))


REFUSED = {
    "a graph of wrong types": (KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), "KBinsDiscretizer"),
    "an error of the converter": (PowerTransformer(), "PowerTransformer"),
    "an unknown class": (SplineTransformer(), "SplineTransformer has no compiled form"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_the_step_and_nothing_is_printed(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    step, words = REFUSED[name]
    rows = np.random.default_rng(1).normal(size=(80, 3))
    model = make_pipeline(step, LogisticRegression()).fit(rows, (rows[:, 0] > 0).astype(int))
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = compile_estimator(model, signature=_matrix_signature(model, 3), sample=rows)
    assert made.data is None
    assert words in str(made.parity.reason)
    assert capfd.readouterr() == ("", "")


def test_loops_are_refused() -> None:
    rows = np.random.default_rng(1).normal(size=(40, 2))
    model = GaussianProcessRegressor().fit(rows, rows[:, 0])
    made = compile_estimator(model, signature=_matrix_signature(model, 2), sample=rows)
    assert made.data is None
    assert "GaussianProcessRegressor needs a loop" in str(made.parity.reason)


def test_trees_are_never_left_to_the_converter() -> None:
    """Converted in double they compare rows that scikit-learn rounds first: wrong beside a threshold."""
    rows = np.random.default_rng(1).normal(size=(80, 2))
    model = OneVsRestClassifier(DecisionTreeClassifier(max_depth=3)).fit(rows, np.digitize(rows[:, 0], [-0.5, 0.5]))
    assert compile_estimator(model, signature=_matrix_signature(model, 2), sample=rows).data is None
    forest = IsolationForest(n_estimators=5).fit(rows)
    assert compile_estimator(forest, signature=_matrix_signature(forest, 2), sample=rows).data is None


def test_probes_find_trees_that_do_not_round() -> None:
    """The gate sees by itself what the rule above rules out."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType

    values = np.random.default_rng(0).normal(size=10)
    rows = np.random.default_rng(1).choice(values, size=(300, 2))
    target = np.digitize(rows[:, 0], [-0.5, 0.1]) + 3 * (rows[:, 1] > 0.3)
    model = StackingClassifier([("tree", DecisionTreeClassifier(random_state=0))], cv=3).fit(rows, target)
    converted = convert_sklearn(
        model,
        initial_types=[("x", DoubleTensorType([None, 2]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": 21, "ai.onnx.ml": 3},
    )
    parity = compare(model, converted.SerializeToString(), signature=_matrix_signature(model, 2), sample=rows)
    assert not parity.equal
    assert compile_estimator(model, signature=_matrix_signature(model, 2), sample=rows).parity.equal


def test_estimator_that_refuses_rows_is_not_compiled_by_any_way() -> None:
    texts = pd.DataFrame({"a": ["x", "y"] * 40, "b": ["u", "v"] * 40}, dtype=object)
    ada = AdaBoostClassifier(n_estimators=2)
    model = make_pipeline(OneHotEncoder(sparse_output=False), StandardScaler(), ada).fit(texts, texts["a"] == "x")
    signature = ModelSignature(
        inputs=(TensorSpec("a", "string"), TensorSpec("b", "string")), outputs=(TensorSpec("predict", "bool"),)
    )
    made = compile_estimator(model, signature=signature, sample=texts)
    assert made.data is None
    assert "handle_unknown" in str(made.parity.reason)
