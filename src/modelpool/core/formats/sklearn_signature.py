"""What a scikit-learn estimator remembers of its fit, as a signature."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from modelpool.core.errors import UnloadableModel
from modelpool.core.signature import DType, ModelSignature, TensorSpec


def derive_signature(estimator: Any) -> ModelSignature:
    """Return a signature from ``feature_names_in_``, ``n_features_in_``, ``classes_`` and one prediction.

    Columns are numbers unless an encoder learned text categories of them. Raises
    :class:`~modelpool.core.errors.UnloadableModel` when the estimator remembers too little: then the uploader must
    give the signature.
    """
    count = getattr(estimator, "n_features_in_", None)
    if not isinstance(count, int | np.integer) or count < 1:
        raise UnloadableModel(
            "The model does not say which inputs it takes; give a signature in the upload's metadata."
        )
    inputs, example = _inputs(estimator, int(count))
    answers = _try_row(estimator, inputs, example)
    classes = getattr(estimator, "classes_", None)
    labels = tuple(np.asarray(classes).tolist()) if classes is not None and not isinstance(classes, list) else None
    return ModelSignature(inputs=inputs, outputs=_outputs(answers), classes=labels, example=example)


def _inputs(estimator: Any, count: int) -> tuple[tuple[TensorSpec, ...], dict[str, Any]]:
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return (TensorSpec(name="inputs", dtype="float64", shape=(-1, count), nullable=True),), {
            "inputs": [0.0] * count
        }
    texts = dict(_text_columns(estimator))
    specs = tuple(
        TensorSpec(name=str(name), dtype="string" if str(name) in texts else "float64", nullable=True) for name in names
    )
    return specs, {str(name): texts.get(str(name), 0.0) for name in names}


def _text_columns(estimator: Any) -> Iterator[tuple[str, str]]:
    """Yield the columns that an encoder learned text categories of, each with the first category."""
    for step in _steps(estimator):
        if hasattr(step, "transformers_"):
            for _, transformer, columns in step.transformers_:
                yield from _text_columns_of(step, transformer, columns)
        elif hasattr(step, "categories_") and hasattr(step, "feature_names_in_"):
            yield from _categories(step, list(step.feature_names_in_))


def _text_columns_of(step: Any, transformer: Any, columns: Any) -> Iterator[tuple[str, str]]:
    known = [str(name) for name in getattr(step, "feature_names_in_", [])]
    names = [
        known[item] if isinstance(item, int) and item < len(known) else str(item)
        for item in np.atleast_1d(columns).tolist()
    ]
    for inner in _steps(transformer):
        if hasattr(inner, "categories_") and len(inner.categories_) == len(names):
            yield from _categories(inner, names)


def _categories(encoder: Any, names: list[Any]) -> Iterator[tuple[str, str]]:
    for name, known in zip(names, encoder.categories_, strict=False):
        if np.asarray(known).dtype.kind in "OUT" and len(known):
            yield str(name), str(known[0])


def _steps(estimator: Any) -> Iterator[Any]:
    if isinstance(estimator, str) or estimator is None:
        return
    if hasattr(estimator, "best_estimator_"):
        yield from _steps(estimator.best_estimator_)
    elif hasattr(estimator, "steps"):
        for _, step in estimator.steps:
            yield from _steps(step)
    else:
        yield estimator


def _try_row(estimator: Any, inputs: tuple[TensorSpec, ...], example: dict[str, Any]) -> dict[str, np.ndarray]:
    import pandas as pd

    is_matrix = not inputs[0].is_column
    row = (
        np.asarray([example["inputs"]])
        if is_matrix
        else pd.DataFrame({name: [value] for name, value in example.items()})
    )
    methods = [name for name in ("predict", "predict_proba") if hasattr(estimator, name)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {name: np.asarray(getattr(estimator, name)(row)) for name in methods}
    except Exception as error:
        detail = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UnloadableModel(
            f"The model cannot predict a row made from what it says of its inputs ({detail}); "
            "give a signature with an example in the upload's metadata."
        ) from error


def _outputs(answers: dict[str, np.ndarray]) -> tuple[TensorSpec, ...]:
    kinds: dict[str, DType] = {
        "O": "string",
        "U": "string",
        "T": "string",
        "b": "bool",
        "i": "int64",
        "u": "int64",
        "f": "float64",
    }
    return tuple(
        TensorSpec(name=name, dtype=kinds.get(array.dtype.kind, "float64"), shape=(-1, *array.shape[1:]))
        for name, array in answers.items()
    )
