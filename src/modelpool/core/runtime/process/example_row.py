"""One row to try a model with: the signature's example, or a neutral one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from modelpool.core.codecs.json import JsonCodec
from modelpool.core.errors import Invalid, PredictionFailed, UnloadableModel
from modelpool.core.formats.base import LoadedModel
from modelpool.core.signature import ModelSignature, TensorSpec


def check_example(signature: ModelSignature) -> None:
    """Read the example as predictions read a row; raise :class:`~modelpool.core.errors.Invalid` for one they refuse.

    Whatever is activated answers its example first: a version whose example no request could be must not be made.
    """
    if signature.example is None:
        return
    try:
        JsonCodec().decoder(signature)(msgspec.json.encode({"instances": [signature.example]}))
    except Invalid as error:
        raise Invalid(error.detail.replace("instances[0]", "signature.example", 1)) from error


def example_inputs(signature: ModelSignature) -> dict[str, np.ndarray]:
    """Return arrays of one row; raise :class:`~modelpool.core.errors.Invalid` for an example that does not fit."""
    return {spec.name: _example_array(spec, signature.example) for spec in signature.inputs}


def _example_array(spec: TensorSpec, example: dict[str, Any] | None) -> np.ndarray:
    if example is None or spec.name not in example:
        shape = tuple(1 if size < 0 else size for size in (1, *spec.shape[1:]))
        return np.full(shape, "", dtype=object) if spec.dtype == "string" else np.zeros(shape, dtype=spec.numpy_dtype)
    value = example[spec.name]
    try:
        return _given_array(spec, value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"signature.example.{spec.name}: {str(value)[:80]!r} is not of type {spec.dtype}.") from error


def _given_array(spec: TensorSpec, value: Any) -> np.ndarray:
    if value is None:
        return np.array([""], dtype=object) if spec.dtype == "string" else np.array([np.nan])
    if spec.dtype == "datetime" and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return np.array([(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()])
    return np.asarray([value], dtype=spec.numpy_dtype)


def try_model(model: LoadedModel) -> None:
    """Predict one row; raise :class:`~modelpool.core.errors.UnloadableModel` unless the answer fits the signature."""
    signature = model.signature
    check_example(signature)
    try:
        answers = model.predict(example_inputs(signature), signature.methods)
    except PredictionFailed as error:
        raise UnloadableModel(
            f"The model loads but cannot predict an example row ({error.detail}); give one that it can take in the "
            "metadata, as signature.example."
        ) from error
    for name, array in answers.items():
        if array.ndim == 0 or len(array) != 1:
            raise UnloadableModel(
                f"Output {name!r} has the shape {array.shape} for one row; the first dimension counts rows."
            )
    _check_outputs(signature, answers)
    _check_classes(signature, answers)


def _check_outputs(signature: ModelSignature, answers: dict[str, np.ndarray]) -> None:
    for spec in signature.outputs:
        problem = spec.misfit(answers[spec.name]) if spec.name in answers else None
        if problem is not None:
            raise UnloadableModel(
                f"Output {spec.name!r} {problem}, which the signature says; correct the one or the other."
            )


def _check_classes(signature: ModelSignature, answers: dict[str, np.ndarray]) -> None:
    probabilities = answers.get("predict_proba")
    if probabilities is None or signature.classes is None:
        return
    if probabilities.ndim != 2 or probabilities.shape[1] != len(signature.classes):
        raise UnloadableModel(
            f"The signature names {len(signature.classes)} classes, predict_proba gives {probabilities.shape[1:]}."
        )
