"""What a trainer leaves unsaid about a fitted estimator: what it takes and gives, and rows to try it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.core.errors import BadTrainingData
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.core.trainer import Run

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 2000


MATRIX = "inputs"
"""The name of the one input of an estimator that was fitted on a bare matrix."""


def sample_of(run: Run, *, estimator: Any) -> pd.DataFrame | np.ndarray | None:
    """Return up to :data:`SAMPLE_ROWS` rows of the columns that the estimator was fitted on, spread over the table.

    Rows of an estimator that was fitted on a bare matrix are a matrix, of the columns of numbers where these are as
    many; ``None`` where they are not, because nobody can tell what they are. Raises :class:`BadTrainingData` for
    columns that the table has not.
    """
    names = input_names(run, estimator=estimator)
    numbers = [name for name in run.features.columns if run.features[name].dtype.kind in "iuf"]
    if names is None and len(numbers) != estimator.n_features_in_:
        return None
    features = run.features[numbers if names is None else names]
    rows = features.sample(SAMPLE_ROWS, random_state=run.seed) if len(features) > SAMPLE_ROWS else features
    return rows.to_numpy(dtype=np.float64) if names is None else rows


def input_names(run: Run, *, estimator: Any) -> list[str] | None:
    """Return the names of the columns that the estimator takes, in its order; ``None`` for a bare matrix.

    scikit-learn remembers them (``feature_names_in_``) when it was fitted on a frame; fitted on a bare matrix it only
    knows how many there were (``n_features_in_``): as many as the features are taken to be these.
    """
    columns = list(run.features.columns)
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        count = getattr(estimator, "n_features_in_", len(columns))
        return columns if count == len(columns) else None
    unknown = [str(name) for name in names if name not in columns]
    if unknown:
        raise BadTrainingData(
            f"The trainer returned an estimator fitted on columns that the table has not: {', '.join(unknown[:5])!r}. "
            "Make them by a step of a Pipeline, or return TrainedModel(estimator, signature=…, sample=…)."
        )
    return [str(name) for name in names]


def signature_of(run: Run, *, estimator: Any, sample: pd.DataFrame | np.ndarray | None) -> ModelSignature:
    """Derive the signature from the table's columns and from what the estimator can do."""
    classes = _classes_of(estimator)
    outputs = [TensorSpec("predict", _predicted_dtype(run, classes=classes))]
    if classes is not None and hasattr(estimator, "predict_proba"):
        outputs.append(TensorSpec("predict_proba", "float64", (-1, len(classes))))
    if sample is None or isinstance(sample, np.ndarray):
        width = int(estimator.n_features_in_) if sample is None else sample.shape[1]
        inputs, example = _matrix_input(width, sample=sample)
    else:
        specs = {spec.name: spec for spec in run.columns}
        inputs = tuple(specs.get(name) or _spec_of(name, sample[name]) for name in sample.columns)
        example = _example(inputs, sample=sample)
    return ModelSignature(inputs, tuple(outputs), classes, example)


def _matrix_input(width: int, *, sample: np.ndarray | None) -> tuple[tuple[TensorSpec, ...], dict[str, Any]]:
    """Return one input of ``width`` numbers; where no sample says otherwise, some may be missing."""
    if sample is None:
        return (TensorSpec(MATRIX, "float64", (-1, width), nullable=True),), {MATRIX: [0.0] * width}
    is_whole = ~np.isnan(sample).any(axis=1)
    row = (sample[is_whole] if is_whole.any() else np.nan_to_num(sample))[0]
    return (TensorSpec(MATRIX, "float64", (-1, width), nullable=not is_whole.all()),), {MATRIX: row.tolist()}


def _spec_of(name: str, column: pd.Series[Any]) -> TensorSpec:
    kind = column.dtype.kind
    if kind == "O":
        return TensorSpec(name, "string", nullable=bool((column == "").any()))
    return TensorSpec(name, "bool" if kind == "b" else "float64", nullable=bool(column.isna().any()))


def _classes_of(estimator: Any) -> tuple[Any, ...] | None:
    """Return the labels of a classifier of one output as plain values, in the order of its probabilities."""
    classes = getattr(estimator, "classes_", None)
    if classes is None or not hasattr(classes, "tolist") or getattr(classes, "ndim", 0) != 1:
        return None
    return tuple(classes.tolist())


def _predicted_dtype(run: Run, *, classes: tuple[Any, ...] | None) -> Any:
    if classes is None:
        kind = run.labels.dtype.kind if run.target else "f"
        return "string" if kind == "O" else "float64"
    for python_type, dtype in ((bool, "bool"), (int, "int64"), (float, "float64")):
        if all(type(value) is python_type for value in classes):
            return dtype
    return "string"


def _example(inputs: tuple[TensorSpec, ...], *, sample: pd.DataFrame) -> dict[str, Any]:
    """Return the sample's first whole row as it stands on the wire."""
    whole = sample.dropna()
    row = (whole if len(whole) else sample).iloc[0]
    return {spec.name: _to_wire(row[spec.name], spec=spec) for spec in inputs}


def _to_wire(value: Any, *, spec: TensorSpec) -> Any:
    import pandas as pd

    if pd.isna(value) or (spec.nullable and value == ""):
        return None
    if spec.dtype == "datetime":
        return pd.Timestamp(value, unit="s", tz="UTC").isoformat().replace("+00:00", "Z")
    return value.item() if hasattr(value, "item") else value
