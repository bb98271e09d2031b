"""What differs between classification and regression."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modelpool.core.signature import DType, TensorSpec
from modelpool.training.trainers.classification_metrics import classification_figures, classification_metrics
from modelpool.training.trainers.labels import read_classes, read_quantities
from modelpool.training.trainers.regression_metrics import regression_figures, regression_metrics

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

Array = np.ndarray[Any, Any]


class Task(ABC):
    """How labels are read, a fitted pipeline is measured, and its outputs are described."""

    primary_metric: ClassVar[str]

    @abstractmethod
    def read_labels(self, labels: pd.Series[Any], *, is_datetime: bool) -> Array:
        """Return the labels to fit on, ``(n_rows,)``, or raise :class:`~modelpool.core.errors.BadTrainingData`."""

    @abstractmethod
    def strata(self, labels: Array) -> Array | None:
        """Return what each part of a split must have its share of, ``(n_rows,)``."""

    @abstractmethod
    def measure(self, pipeline: Pipeline, features: pd.DataFrame, labels: Array) -> dict[str, float]:
        """Return the metrics on rows that ``pipeline`` was not fitted on."""

    @abstractmethod
    def draw(
        self, pipeline: Pipeline, features: pd.DataFrame, labels: Array, *, seed: int
    ) -> dict[str, Mapping[str, Any]]:
        """Return the figures on rows that ``pipeline`` was not fitted on."""

    @abstractmethod
    def outputs(self, pipeline: Pipeline) -> tuple[TensorSpec, ...]:
        """Return the outputs of the model's signature."""

    def classes(self, pipeline: Pipeline) -> tuple[Any, ...] | None:
        """Return the labels in the order of the probabilities, as plain Python values."""
        return None


class Classification(Task):
    """Predict one of some classes.

    The primary metric is the accuracy, because it is what the policy's users expect and can check by counting; for
    rare classes compare versions by ``balanced_accuracy`` or ``roc_auc``, which are recorded as well.
    """

    primary_metric = "accuracy"

    def read_labels(self, labels: pd.Series[Any], *, is_datetime: bool) -> Array:
        """Return booleans, integers or texts."""
        return read_classes(labels, is_datetime=is_datetime)

    def strata(self, labels: Array) -> Array | None:
        """Return the classes: each part of a split gets its share of each."""
        return labels

    def measure(self, pipeline: Pipeline, features: pd.DataFrame, labels: Array) -> dict[str, float]:
        """Return accuracy, f1_macro, roc_auc and others."""
        return classification_metrics(*_answers(pipeline, features, labels))

    def draw(
        self, pipeline: Pipeline, features: pd.DataFrame, labels: Array, *, seed: int
    ) -> dict[str, Mapping[str, Any]]:
        """Return the confusion matrix and the curves."""
        classes = self.classes(pipeline)
        return classification_figures(*_answers(pipeline, features, labels), classes=classes)

    def outputs(self, pipeline: Pipeline) -> tuple[TensorSpec, ...]:
        """Return ``predict`` of the classes' own type, and ``predict_proba``."""
        dtypes: dict[str, DType] = {"b": "bool", "i": "int64"}
        dtype = dtypes.get(pipeline.classes_.dtype.kind, "string")
        return TensorSpec("predict", dtype), TensorSpec("predict_proba", "float64", (-1, len(pipeline.classes_)))

    def classes(self, pipeline: Pipeline) -> tuple[Any, ...]:
        """Return the classes in the order of the probabilities."""
        return tuple(pipeline.classes_.tolist())


class Regression(Task):
    """Predict a number; the primary metric is the share of variance explained, which needs no unit."""

    primary_metric = "r2"

    def read_labels(self, labels: pd.Series[Any], *, is_datetime: bool) -> Array:
        """Return float64."""
        return read_quantities(labels, is_datetime=is_datetime)

    def strata(self, labels: Array) -> Array | None:
        """Return nothing: rows are split by chance."""
        return None

    def measure(self, pipeline: Pipeline, features: pd.DataFrame, labels: Array) -> dict[str, float]:
        """Return r2, rmse, mae and others."""
        return regression_metrics(labels, pipeline.predict(features))

    def draw(
        self, pipeline: Pipeline, features: pd.DataFrame, labels: Array, *, seed: int
    ) -> dict[str, Mapping[str, Any]]:
        """Return predictions against the truth, and the residuals."""
        return regression_figures(labels, pipeline.predict(features), seed=seed)

    def outputs(self, pipeline: Pipeline) -> tuple[TensorSpec, ...]:
        """Return ``predict``."""
        return (TensorSpec("predict", "float64"),)


def _answers(pipeline: Pipeline, features: pd.DataFrame, labels: Array) -> tuple[Array, Array, Array]:
    """Return truth and prediction as positions among the classes, and the probabilities."""
    classes = pipeline.classes_
    predicted = pipeline.predict(features)
    truth_at, predicted_at = np.searchsorted(classes, labels), np.searchsorted(classes, predicted)
    return truth_at, predicted_at, pipeline.predict_proba(features)
