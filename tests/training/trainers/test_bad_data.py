"""Data that will not do is refused with advice that a data scientist understands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelpool.core.errors import BadTrainingData
from modelpool.core.signature import TensorSpec
from modelpool.core.testing.recording_run import RecordingRun
from modelpool.core.trainer import Trainer
from modelpool.training.trainers.tabular_classifier import TabularClassifier
from modelpool.training.trainers.tabular_regressor import TabularRegressor
from tests.training.trainers.frames import text

N_ROWS = 30


def features(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(N_ROWS, dtype=float), **columns})


def refuse(
    trainer: Trainer,
    data: pd.DataFrame,
    *,
    match: str,
    target: str | None = "y",
    columns: tuple[TensorSpec, ...] = (),
    **params: Any,
) -> BadTrainingData:
    run = RecordingRun(data, target=target, params=trainer.Params(**params), columns=columns)
    with pytest.raises(BadTrainingData, match=match) as raised:
        trainer.train(run)
    assert raised.value.detail.endswith(".")
    return raised.value


classifier, regressor = TabularClassifier(), TabularRegressor()
two_classes = text(["a", "b"] * (N_ROWS // 2))


@pytest.mark.parametrize("trainer", [classifier, regressor])
def test_no_target(trainer: Trainer) -> None:
    assert refuse(trainer, features(), target=None, match="name the column to predict").errors[0].field == "target"


@pytest.mark.parametrize("trainer", [classifier, regressor])
def test_unknown_target(trainer: Trainer) -> None:
    error = refuse(
        trainer, features(diagnosis=two_classes), target="diagnose", match="Did you mean 'diagnosis'.*'x', 'diagnosis'"
    )
    assert error.errors[0].code == "unknown_column"


@pytest.mark.parametrize("trainer", [classifier, regressor])
def test_empty_target(trainer: Trainer) -> None:
    refuse(trainer, features(y=np.full(N_ROWS, np.nan)), match="'y' has no values at all")
    refuse(trainer, features(y=text([""] * N_ROWS)), match="'y' has no values at all")


@pytest.mark.parametrize("trainer", [classifier, regressor])
def test_too_few_rows(trainer: Trainer) -> None:
    refuse(
        trainer, features(y=[1.0, 2.0, 1.0] + [np.nan] * (N_ROWS - 3)), match="3 rows with a value in 'y'; at least 10"
    )


@pytest.mark.parametrize("trainer", [classifier, regressor])
def test_no_rows(trainer: Trainer) -> None:
    refuse(trainer, features(y=1.0)[:0], match="There are 0 rows")


@pytest.mark.parametrize("labels", [text(["a"] * N_ROWS), [7] * N_ROWS, [True] * N_ROWS])
def test_one_class(labels: Any) -> None:
    refuse(classifier, features(y=labels), match="in every row; a classifier needs two classes")


def test_class_of_one_row() -> None:
    refuse(
        classifier, features(y=text(["rare", *["a"] * 15, *["b"] * 14])), match="only one row: 'rare'; add rows, merge"
    )


def test_too_many_classes() -> None:
    data = pd.DataFrame({"x": np.arange(404.0), "y": np.arange(404) // 2})
    refuse(classifier, data, match="has 202 classes; at most 100.*tabular_regressor")


def test_quantity_for_a_classifier() -> None:
    refuse(classifier, features(y=np.linspace(0, 1, N_ROWS)), match="decimal numbers, 30 different.*tabular_regressor")
    refuse(classifier, features(y=np.arange(N_ROWS)), match="only one row.*tabular_regressor")


def test_text_for_a_regressor() -> None:
    refuse(regressor, features(y=two_classes), match="holds text.*'a'; use tabular_classifier")
    refuse(regressor, features(y=[True, False] * 15), match="truth values.*use tabular_classifier")


@pytest.mark.parametrize("trainer", [classifier, regressor])
def test_date_as_target(trainer: Trainer) -> None:
    data = features(y=np.arange(N_ROWS, dtype=float))
    refuse(trainer, data, columns=(TensorSpec("y", "datetime"),), match="holds dates")


def test_quantity_that_never_changes() -> None:
    refuse(regressor, features(y=2.5), match=r"is 2\.5 in every row")


def test_infinite_quantity() -> None:
    refuse(regressor, features(y=[np.inf, *range(N_ROWS - 1)]), match="1 infinite values")


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_infinite_feature(value: float) -> None:
    data = features(y=two_classes)
    data.loc[3, "x"] = value
    refuse(classifier, data, match="'x' has 1 values that are infinite or beyond")


def test_no_usable_feature() -> None:
    data = pd.DataFrame({"id": text(f"u{number}" for number in range(N_ROWS)), "gap": np.nan, "y": two_classes})
    refuse(classifier, data, match="No column is left.*'id' is not used.*'gap' has no values")
    refuse(classifier, data[["y"]], match="No column is left")


def test_unknown_column_to_drop() -> None:
    error = refuse(classifier, features(y=two_classes), drop_columns=("z",), match="drop_columns names 'z'")
    assert error.errors[0].field == "params.drop_columns"
    refuse(classifier, features(y=two_classes), drop_columns=("y",), match="not a feature column")


def test_more_neighbours_than_rows() -> None:
    error = refuse(classifier, features(y=two_classes), algorithm="knn", n_neighbors=25, match="n_neighbors is 25, but")
    assert error.errors[0].field == "params.n_neighbors"


def test_rare_class_for_an_svm() -> None:
    refuse(classifier, features(y=text(["a"] * 4 + ["b"] * 26)), algorithm="svm", match="at least 5 rows of each class")
