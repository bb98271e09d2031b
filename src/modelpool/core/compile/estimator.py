"""A fitted estimator to one small ONNX file, with the proof that both answer alike."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from modelpool.core.compile.base import Compilation, Parity
from modelpool.core.compile.graph import Graph, Matrix, NotConvertible, write_model
from modelpool.core.compile.parity import TOLERANCE, compare
from modelpool.core.compile.predictors import Prediction, emit_predictor
from modelpool.core.compile.preprocessing import choose_columns
from modelpool.core.formats.onnx import COLUMNS_KEY, SIGNATURE_KEY
from modelpool.core.signature import ModelSignature

if TYPE_CHECKING:
    import pandas as pd

import modelpool.core.compile.calibration
import modelpool.core.compile.centroids
import modelpool.core.compile.ensembles
import modelpool.core.compile.kernels
import modelpool.core.compile.linear
import modelpool.core.compile.trees  # noqa: F401

Sources = list[tuple[Matrix, tuple[str, ...]]]


def compile_estimator(estimator: Any, *, signature: ModelSignature, sample: pd.DataFrame | np.ndarray) -> Compilation:
    """Compile a fitted scikit-learn estimator or pipeline to ONNX and compare both on ``sample`` and rows made of it.

    ``sample`` holds rows of the features as the estimator takes them. Never raises for an estimator that does not
    convert or does not answer alike: then ``data`` is ``None`` and ``parity.reason`` says why. It takes seconds for
    large models; the caller bounds the time. The file carries ``signature`` and loads with ``FORMATS["onnx"]``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = emit_model(estimator, signature=signature)
        except NotConvertible as error:
            return _refused(f"Not compiled: {str(error).rstrip('.')}.")
        except Exception as error:  # noqa: BLE001 — an estimator's attributes may differ between releases: serve it as it is
            return _refused(f"Not compiled: {_brief(error)}.")
        try:
            parity = compare(estimator, data, signature=signature, sample=sample)
        except Exception as error:  # noqa: BLE001 — the estimator is foreign code; it serves itself
            return _refused(f"Not compared: a row like those of the sample makes the estimator fail ({_brief(error)}).")
    return Compilation(data if parity.equal else None, parity)


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.')}"


def _refused(reason: str) -> Compilation:
    reason = " ".join(reason.split())[:500]
    return Compilation(
        None, Parity(equal=False, rows=0, labels_equal=None, max_abs_diff=None, tolerance=TOLERANCE, reason=reason)
    )


def emit_model(estimator: Any, *, signature: ModelSignature) -> bytes:
    """Return the ONNX file; raise :class:`NotConvertible` for what has no compiled form.

    Its inputs are at most two matrices: ``numbers`` float64, with every column that is not text in the signature's
    order, and ``texts``; its outputs are named like the signature's.
    """
    graph = Graph()
    sources = _sources(signature)
    prediction = _emit(graph, estimator, sources)
    outputs = _name_outputs(graph, estimator, prediction, signature)
    columns = {matrix.name: names for matrix, names in sources}
    metadata = {SIGNATURE_KEY: msgspec.json.encode(signature).decode()}
    if signature.is_tabular:
        metadata[COLUMNS_KEY] = msgspec.json.encode(columns).decode()
    return write_model(graph, inputs=[matrix for matrix, _ in sources], outputs=outputs, metadata=metadata)


def _sources(signature: ModelSignature) -> Sources:
    if not signature.is_tabular:
        return [_matrix_source(signature)]
    numbers = tuple(spec.name for spec in signature.inputs if spec.dtype != "string")
    texts = tuple(spec.name for spec in signature.inputs if spec.dtype == "string")
    sources = [(Matrix("numbers", len(numbers)), numbers), (Matrix("texts", len(texts), is_text=True), texts)]
    return [(matrix, names) for matrix, names in sources if names]


def _matrix_source(signature: ModelSignature) -> tuple[Matrix, tuple[str, ...]]:
    spec = signature.inputs[0]
    if len(signature.inputs) != 1 or len(spec.shape) != 2 or spec.shape[1] < 1 or spec.dtype == "string":
        raise NotConvertible("a model whose inputs are neither columns nor one matrix of numbers has no compiled form")
    return Matrix(spec.name, spec.shape[1]), tuple(f"x{index}" for index in range(spec.shape[1]))


def _emit(graph: Graph, estimator: Any, sources: Sources) -> Prediction:
    """Start from the table; the step that chooses columns takes them from there, however deep it lies."""
    names = _feature_names(estimator, sources)
    columns = choose_columns(graph, sources, names)
    is_mixed = len({part.is_text for part in columns}) > 1
    source = Matrix("", len(names)) if is_mixed else graph.concat(columns)
    return emit_predictor(graph, estimator, replace(source, table=tuple(sources)))


def _feature_names(estimator: Any, sources: Sources) -> list[str]:
    known = [name for _, names in sources for name in names]
    names = getattr(estimator, "feature_names_in_", None)
    return known if names is None or not set(names) <= set(known) else [str(name) for name in names]


def _name_outputs(
    graph: Graph, estimator: Any, prediction: Prediction, signature: ModelSignature
) -> dict[str, tuple[type[np.generic], int | None]]:
    outputs: dict[str, tuple[type[np.generic], int | None]] = {}
    for spec in signature.outputs:
        if spec.name == "predict" and prediction.labels is not None:
            classes, kind = _classes(estimator)
            graph.rename(graph.op("Gather", classes, prediction.labels), "predict")
            outputs["predict"] = (kind, None)
        elif spec.name == "predict" and prediction.values is not None:
            outputs["predict"] = (np.float64, None if spec.is_column else max(spec.shape[1], 1))
            flat = np.asarray([-1], dtype=np.int64)
            values = graph.op("Reshape", prediction.values, flat) if spec.is_column else prediction.values
            graph.rename(values, "predict")
        elif spec.name == "predict_proba" and prediction.probabilities is not None:
            graph.rename(prediction.probabilities, "predict_proba")
            outputs["predict_proba"] = (np.float64, len(estimator.classes_))
        else:
            raise NotConvertible(f"the output {spec.name!r} has no compiled form for {type(estimator).__name__}")
    return outputs


def _classes(estimator: Any) -> tuple[np.ndarray, type[np.generic]]:
    classes = np.asarray(estimator.classes_)
    if classes.dtype.kind in "OU" or classes.dtype.kind == "T":
        return np.asarray([str(label) for label in classes], dtype=object), np.str_
    kinds: dict[str, type[np.generic]] = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64}
    if classes.dtype.kind not in kinds:
        raise NotConvertible(f"class labels of type {classes.dtype} have no compiled form")
    kind = kinds[classes.dtype.kind]
    return classes.astype(kind), kind
