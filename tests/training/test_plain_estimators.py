"""What is derived for an estimator that a trainer returns without a word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, RidgeClassifier

from modelpool.core.errors import BadTrainingData
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.core.testing.recording_run import RecordingRun
from modelpool.training.plain_estimators import SAMPLE_ROWS, sample_of, signature_of

FRAME = pd.DataFrame(
    {
        "size": [1.0, np.nan, 3.0, 4.0],
        "count": np.array([1, 2, 3, 4]),
        "is_new": [True, False, True, False],
        "colour": np.array(["red", "", "blue", "red"], dtype=object),
        "built": [0.0, 86400.0, np.nan, 1.5],
        "price": [10.0, 20.0, 30.0, 40.0],
    }
)
COLUMNS = (
    TensorSpec("size", "float64", nullable=True),
    TensorSpec("count", "float64"),
    TensorSpec("is_new", "bool"),
    TensorSpec("colour", "string", nullable=True),
    TensorSpec("built", "datetime", nullable=True),
    TensorSpec("price", "float64"),
)


def derive(estimator: Any, run: RecordingRun) -> ModelSignature:
    return signature_of(run, estimator=estimator, sample=sample_of(run, estimator=estimator))


def test_inputs_are_the_columns_as_they_stand_on_the_wire() -> None:
    run = RecordingRun(FRAME, target="price", columns=COLUMNS)
    signature = derive(DummyRegressor().fit(run.features, run.labels), run)
    assert signature.inputs == COLUMNS[:-1]
    assert signature.outputs == (TensorSpec("predict", "float64"),)
    assert signature.classes is None
    example = {"size": 1.0, "count": 1, "is_new": True, "colour": "red", "built": "1970-01-01T00:00:00Z"}
    assert signature.example == example


def test_without_specs_the_frame_is_looked_at() -> None:
    run = RecordingRun(FRAME.drop(columns="built"), target="price")
    signature = derive(DummyRegressor().fit(run.features, run.labels), run)
    assert [(spec.dtype, spec.nullable) for spec in signature.inputs] == [
        ("float64", True),
        ("float64", False),
        ("bool", False),
        ("string", True),
    ]


@pytest.mark.parametrize(
    ("labels", "dtype", "classes"),
    [
        (["b", "a", "b", "a"], "string", ("a", "b")),
        ([3, 5, 3, 5], "int64", (3, 5)),
        ([True, False, True, True], "bool", (False, True)),
    ],
)
def test_classes_keep_their_type(labels: list[Any], dtype: str, classes: tuple[Any, ...]) -> None:
    kind = object if isinstance(labels[0], str) else None
    run = RecordingRun(pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": np.array(labels, dtype=kind)}), target="y")
    signature = derive(DummyClassifier().fit(run.features, run.labels), run)
    assert signature.outputs == (TensorSpec("predict", dtype), TensorSpec("predict_proba", "float64", (-1, 2)))
    assert signature.classes == classes
    assert [type(value) for value in signature.classes or ()] == [type(value) for value in classes]


def test_no_probabilities_are_promised_where_there_are_none() -> None:
    run = RecordingRun(pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": [0, 0, 1, 1]}), target="y")
    signature = derive(RidgeClassifier().fit(run.features, run.labels), run)
    assert signature.methods == ("predict",)
    assert signature.classes == (0, 1)


def test_columns_are_those_of_the_fit_in_its_order() -> None:
    run = RecordingRun(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 3.0], "y": [1.0, 2.0]}), target="y")
    estimator = LinearRegression().fit(run.features[["b"]], run.labels)
    assert [spec.name for spec in derive(estimator, run).inputs] == ["b"]
    estimator = LinearRegression().fit(run.features[["b", "a"]], run.labels)
    assert [spec.name for spec in derive(estimator, run).inputs] == ["b", "a"]


def test_columns_that_the_table_has_not_are_an_error_with_advice() -> None:
    run = RecordingRun(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 3.0], "y": [1.0, 2.0]}), target="y")
    estimator = LinearRegression().fit(run.features.rename(columns={"b": "log_b"}), run.labels)
    with pytest.raises(BadTrainingData, match=r"'log_b'.*Pipeline"):
        sample_of(run, estimator=estimator)


def test_a_bare_matrix_of_the_columns_of_numbers_is_one_input() -> None:
    run = RecordingRun(FRAME, target="price", columns=COLUMNS)
    numbers = run.features[["size", "count", "built"]].to_numpy()
    estimator = DummyRegressor().fit(numbers, run.labels)
    sample = sample_of(run, estimator=estimator)
    np.testing.assert_array_equal(np.asarray(sample), numbers)
    signature = signature_of(run, estimator=estimator, sample=sample)
    assert signature.inputs == (TensorSpec("inputs", "float64", (-1, 3), nullable=True),)
    assert signature.example == {"inputs": [1.0, 1.0, 0.0]}


def test_a_bare_matrix_of_nobody_knows_what_has_its_width_and_no_sample() -> None:
    run = RecordingRun(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 3.0], "y": [1.0, 2.0]}), target="y")
    estimator = LinearRegression().fit(run.features.to_numpy()[:, :1], run.labels)
    assert sample_of(run, estimator=estimator) is None
    signature = signature_of(run, estimator=estimator, sample=None)
    assert signature.inputs == (TensorSpec("inputs", "float64", (-1, 1), nullable=True),)
    assert signature.example == {"inputs": [0.0]}


def test_the_sample_is_bounded_and_the_same_every_time() -> None:
    run = RecordingRun(pd.DataFrame({"x": np.arange(5000.0), "y": np.arange(5000.0)}), target="y")
    estimator = DummyRegressor().fit(run.features, run.labels)
    sample = sample_of(run, estimator=estimator)
    assert isinstance(sample, pd.DataFrame)
    assert len(sample) == SAMPLE_ROWS
    assert sample["x"].max() > 4000
    again = sample_of(run, estimator=estimator)
    assert isinstance(again, pd.DataFrame)
    pd.testing.assert_frame_equal(sample, again)
