"""What a trainer leaves unsaid about a fitted estimator: what it takes and gives, and rows to try it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelpool.core.errors import BadTrainingData
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.core.trainer import Run

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 2000


def sample_of(run: Run, *, estimator: Any) -> pd.DataFrame:
    """Return up to :data:`SAMPLE_ROWS` rows of the columns that the estimator was fitted on, spread over the table.

    Raises :class:`BadTrainingData` when its columns cannot be told.
    """
    features = run.features[input_names(run, estimator=estimator)]
    return features.sample(SAMPLE_ROWS, random_state=run.seed) if len(features) > SAMPLE_ROWS else features


def input_names(run: Run, *, estimator: Any) -> list[str]:
    """Return the names of the columns that the estimator takes, in its order.

    scikit-learn remembers them (``feature_names_in_``) when it was fitted on a frame; fitted on a bare matrix it only
    knows how many there were (``n_features_in_``), and then these must be all the features.
    """
    columns = list(run.features.columns)
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and set(names) <= set(columns):
        return [str(name) for name in names]
    count = getattr(estimator, "n_features_in_", len(columns))
    if count == len(columns):
        return columns
    raise BadTrainingData(
        f"The trainer returned an estimator of {count} inputs, but the table has {len(columns)} besides the target. "
        "Fit it on run.features, or return TrainedModel(estimator, signature=…, sample=…) to say what it takes."
    )


def signature_of(run: Run, *, estimator: Any, sample: pd.DataFrame) -> ModelSignature:
    """Derive the signature from the table's columns and from what the estimator can do."""
    specs = {spec.name: spec for spec in run.columns}
    inputs = tuple(specs.get(name) or _spec_of(name, sample[name]) for name in sample.columns)
    classes = _classes_of(estimator)
    outputs = [TensorSpec("predict", _predicted_dtype(run, classes=classes))]
    if classes is not None and hasattr(estimator, "predict_proba"):
        outputs.append(TensorSpec("predict_proba", "float64", (-1, len(classes))))
    return ModelSignature(inputs, tuple(outputs), classes, _example(inputs, sample=sample))


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
