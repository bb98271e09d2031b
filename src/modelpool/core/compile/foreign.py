"""What skl2onnx converts and this package does not: its graph becomes a part of ours.

skl2onnx is asked for double precision only. What it has in single precision alone could give other answers one step
of the last bit beside a threshold, which no number of probes rules out; such an estimator serves itself.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from modelpool.core.compile.graph import ML, ML_OPSET, OPSET, Graph, Matrix, NeverConvertible, NotConvertible
from modelpool.core.errors import ModelpoolError


def embed(graph: Graph, estimator: Any, source: Matrix) -> list[str]:
    """Add what skl2onnx makes of a fitted estimator that takes ``source``, and return the names of its outputs.

    Raises :class:`~modelpool.core.compile.graph.NotConvertible`, with nothing added, where skl2onnx knows no way,
    or ONNX Runtime does not run what it made.
    """
    _refuse_refusers(estimator)
    model = _convert(estimator, source)
    name = type(estimator).__name__
    if any(_holds_graph(node) for node in model.graph.node) or model.functions or model.graph.sparse_initializer:
        raise NotConvertible(f"{name} needs a loop or a branch, which are not run")
    if any(node.op_type.startswith("TreeEnsemble") for node in model.graph.node):
        raise NotConvertible(f"trees inside {name} have no compiled form: converted, they would not round as they do")
    _try_to_open(model, name)
    return _add(graph, model, source.name)


def one_label(graph: Graph, labels: str, classes: np.ndarray) -> str:
    """Return the index in ``classes`` of each label, int64 ``(n_rows,)``."""
    known = classes.astype(object) if classes.dtype.kind in "OU" else classes.astype(np.int64)
    column = graph.op("Reshape", labels, np.asarray([-1, 1], dtype=np.int64))
    return graph.op("ArgMax", graph.cast(graph.op("Equal", column, known.reshape(1, -1)), np.int64), axis=1, keepdims=0)


def _refuse_refusers(estimator: Any) -> None:
    """Encoders that refuse unknown categories would answer them once converted."""
    get_params = getattr(estimator, "get_params", None)
    if get_params is None:
        raise NotConvertible(f"{type(estimator).__name__} has no compiled form")
    for part in (estimator, *get_params(deep=True).values()):
        if type(part).__name__ in ("OneHotEncoder", "OrdinalEncoder") and part.handle_unknown == "error":
            raise NeverConvertible(
                f"{type(part).__name__}(handle_unknown='error') refuses unknown categories, which no graph can"
            )


def _convert(estimator: Any, source: Matrix) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

    kind = StringTensorType if source.is_text else DoubleTensorType
    options = {"zipmap": False} if hasattr(estimator, "classes_") and hasattr(estimator, "predict") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = convert_sklearn(
                estimator,
                initial_types=[("X", kind([None, source.width]))],
                target_opset={"": OPSET, ML: ML_OPSET},
                options=None if options is None else {id(estimator): options},
            )
            return _at_our_version(model)
        except Exception as error:  # it raises a dozen unrelated classes
            raise NotConvertible(_explain(estimator, error)) from error


def _explain(estimator: Any, error: Exception) -> str:
    name = type(estimator).__name__
    if type(error).__name__ in ("MissingShapeCalculator", "MissingConverter"):
        found = str(error).partition("for type '<class '")[2].partition("'")[0].rpartition(".")[2]
        inner = found if found and found != name else ""
        return f"{inner} in {name} has no compiled form" if inner else f"{name} has no compiled form"
    if isinstance(error, NotImplementedError):  # says what is missing; other errors speak of the converter's insides
        return (
            f"skl2onnx cannot convert this {name}: {(str(error).strip().splitlines() or ['not implemented'])[0][:160]}"
        )
    return f"skl2onnx cannot convert this {name}"


def _at_our_version(model: Any) -> Any:
    """Bring the model to our operator set: operators have other forms in older ones."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if versions.get("", OPSET) == OPSET:
        return model
    from onnx.version_converter import convert_version

    return convert_version(model, OPSET)


def _holds_graph(node: Any) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)


def _try_to_open(model: Any, name: str) -> None:
    """Open it by itself, so that the reason names the step."""
    from modelpool.core.formats.onnx_scan import scan
    from modelpool.core.formats.onnx_session import open_session

    data = model.SerializeToString()
    try:
        scan(data)
        open_session(data)
    except ModelpoolError as error:
        raise NotConvertible(f"{name} has no compiled form in double precision that ONNX Runtime runs") from error


def _add(graph: Graph, model: Any, source: str) -> list[str]:
    """Copy nodes and constants under fresh names."""
    from onnx import helper, numpy_helper

    renamed = {item.name: source for item in model.graph.input}
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.data_type == 8:
            value = np.asarray([_as_text(item) for item in value.ravel()], dtype=object).reshape(value.shape)
        renamed[tensor.name] = graph.constant(value)
    for node in model.graph.node:
        inputs = [renamed[name] if name else "" for name in node.input]
        outputs = [renamed.setdefault(name, graph.fresh()) if name else "" for name in node.output]
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        graph.nodes.append((node.op_type, inputs, outputs, node.domain, attributes))
    return [renamed[item.name] for item in model.graph.output]


def _as_text(item: Any) -> str:
    return item.decode() if isinstance(item, bytes) else str(item)
