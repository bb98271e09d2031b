"""What cannot be compiled or is not equal is refused with a reason, never with an exception."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer, StandardScaler

from modelpool.core.compile import compile_estimator
from modelpool.core.compile.estimator import emit_model
from modelpool.core.compile.parity import compare
from modelpool.core.signature import ModelSignature, TensorSpec
from tests.core.compile.families import CLASSIFIERS, labels_of, pipeline, signature_for, table

INPUTS = (TensorSpec("a", "float64"), TensorSpec("b", "float64"))
OUTPUTS = (TensorSpec("predict", "int64"), TensorSpec("predict_proba", "float64", (-1, 2)))
SIGNATURE = ModelSignature(inputs=INPUTS, outputs=OUTPUTS, classes=(0, 1))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(1).normal(size=(80, 2)), columns=["a", "b"])


def _refusal(model: Any, rows: pd.DataFrame, signature: ModelSignature = SIGNATURE) -> str:
    made = compile_estimator(model, signature=signature, sample=rows)
    assert made.data is None
    assert not made.parity.equal
    assert made.parity.reason
    return made.parity.reason


@pytest.mark.parametrize("step", [SplineTransformer(), FunctionTransformer(np.abs)])
def test_unknown_step_is_named(step: Any, rows: pd.DataFrame) -> None:
    model = Pipeline([("step", step), ("model", LogisticRegression())]).fit(rows, rows["a"] > 0)
    assert type(step).__name__ in _refusal(model, rows)


def test_subclass_of_a_known_estimator_is_not_taken_for_it(rows: pd.DataFrame) -> None:
    class Inverted(LogisticRegression):
        def predict(self, X: Any) -> Any:  # noqa: N803
            return 1 - super().predict(X)

    assert "Inverted" in _refusal(Inverted().fit(rows, (rows["a"] > 0).astype(int)), rows)


def test_encoder_that_refuses_unknown_categories_is_not_compiled(rows: pd.DataFrame) -> None:
    texts = pd.DataFrame({"a": ["x", "y"] * 40, "b": ["u", "v"] * 40}, dtype=object)
    model = Pipeline([("hot", OneHotEncoder()), ("model", LogisticRegression())]).fit(texts, rows["a"] > 0)
    signature = ModelSignature(inputs=(TensorSpec("a", "string"), TensorSpec("b", "string")), outputs=OUTPUTS)
    assert "handle_unknown" in _refusal(model, texts, signature)


def test_categorical_splits_are_not_compiled(rows: pd.DataFrame) -> None:
    whole = rows.abs().round().clip(0, 3)
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]).fit(whole, rows["a"] > 0)
    assert "categorical" in _refusal(model, whole)


def test_output_that_the_estimator_has_not_is_named(rows: pd.DataFrame) -> None:
    from sklearn.linear_model import RidgeClassifier

    assert "predict_proba" in _refusal(RidgeClassifier().fit(rows, (rows["a"] > 0).astype(int)), rows)


def test_unfitted_or_foreign_object_gives_a_reason(rows: pd.DataFrame) -> None:
    assert "LogisticRegression" in _refusal(LogisticRegression(), rows) or "coef_" in _refusal(
        LogisticRegression(), rows
    )
    assert "object" in _refusal(object(), rows)


def test_compiled_file_of_another_fit_is_found_unequal() -> None:
    frame = table()
    model = pipeline(CLASSIFIERS["forest"]()).fit(frame, labels_of(frame, "text"))
    signature = signature_for(frame, classes=model.classes_)
    data = emit_model(model, signature=signature)
    assert compare(model, data, signature=signature, sample=frame).equal
    altered = pipeline(CLASSIFIERS["forest"]()).fit(frame.iloc[:-1], labels_of(frame, "text")[:-1])
    parity = compare(altered, data, signature=signature, sample=frame)
    assert not parity.equal
    assert parity.reason
    assert parity.max_abs_diff is not None
    assert parity.max_abs_diff > parity.tolerance


def test_probes_find_a_threshold_rounded_to_float32() -> None:
    """The fault of float32 conversion: equal on the whole sample, wrong one step of the last bit beside a split."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = np.random.default_rng(3).normal(size=(200, 1))
    model = HistGradientBoostingRegressor(max_iter=1, max_leaf_nodes=8, min_samples_leaf=5).fit(rows, rows[:, 0] * 9)
    signature = ModelSignature(
        inputs=(TensorSpec("x", "float64", (-1, 1)),), outputs=(TensorSpec("predict", "float64"),)
    )
    assert compile_estimator(model, signature=signature, sample=rows).parity.equal
    nodes = model._predictors[0][0].nodes
    exact = nodes["num_threshold"].copy()
    nodes["num_threshold"] = exact.astype(np.float32)
    data = emit_model(model, signature=signature)
    nodes["num_threshold"] = exact
    assert not compare(model, data, signature=signature, sample=rows).equal


def test_scaler_before_imputer_and_passthrough_compile(rows: pd.DataFrame) -> None:
    from sklearn.impute import SimpleImputer

    gaps = rows.mask(np.random.default_rng(2).random(rows.shape) < 0.2)
    numbers = Pipeline([("scale", StandardScaler()), ("fill", SimpleImputer(strategy="median", add_indicator=True))])
    prepare = ColumnTransformer([("n", numbers, ["b"]), ("p", SimpleImputer(strategy="constant"), [0])])
    model = Pipeline([("prepare", prepare), ("model", LogisticRegression())]).fit(gaps, (rows["a"] > 0).astype(int))
    inputs = tuple(TensorSpec(name, "float64", nullable=True) for name in "ab")
    made = compile_estimator(model, signature=ModelSignature(inputs, OUTPUTS, (0, 1)), sample=gaps)
    assert made.parity.equal, made.parity.reason
