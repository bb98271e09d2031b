"""Sessions of ONNX Runtime: how the graph's inputs are fed and its outputs are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]

from modelpool.core.errors import PredictionFailed, UnloadableModel
from modelpool.core.formats.base import Arrays, LoadedModel, TableArrays
from modelpool.core.formats.onnx import written_columns
from modelpool.core.formats.onnx_scan import OnnxFacts
from modelpool.core.signature import DType, ModelSignature, TensorSpec

_DTYPES: dict[str, DType] = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(string)": "string",
    "tensor(bool)": "bool", "tensor(int8)": "int8", "tensor(int16)": "int16", "tensor(int32)": "int32",
    "tensor(int64)": "int64", "tensor(uint8)": "uint8", "tensor(uint16)": "uint16", "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
}  # fmt: skip
_LABEL_DTYPES = ("int64", "int32", "string", "bool")
_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")
_FLOAT_DTYPES = ("float32", "float64", "float16")

onnxruntime.set_default_logger_severity(4)


def open_session(data: bytes) -> Any:
    """Return a session for one thread without arenas: thousands of small ones share a process.

    The arena would keep the memory of the largest batch for each of them.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes, all of them about the file
        raise UnloadableModel(f"ONNX Runtime cannot load the file: {_brief(error)}") from error


def derive_signature(session: Any, facts: OnnxFacts) -> ModelSignature:
    """Return a signature made from the graph's own inputs and outputs."""
    inputs = tuple(_input_spec(node) for node in session.get_inputs())
    if not inputs:
        raise UnloadableModel("The ONNX graph has no inputs.")
    named = _name_outputs(session.get_outputs())
    outputs = tuple(_output_spec(name, node, facts) for name, node in named.items())
    has_probabilities = any(spec.name == "predict_proba" for spec in outputs)
    return ModelSignature(inputs=inputs, outputs=outputs, classes=facts.classes if has_probabilities else None)


def _input_spec(node: Any) -> TensorSpec:
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        raise UnloadableModel(
            f"Input {node.name!r} of the ONNX graph is a {node.type}; only tensors of numbers or strings are fed."
        )
    if not node.shape:
        raise UnloadableModel(f"Input {node.name!r} of the ONNX graph has no dimension that counts rows.")
    return TensorSpec(name=node.name, dtype=dtype, shape=_row_shape(node.shape))


def _row_shape(shape: Sequence[Any] | None) -> tuple[int, ...]:
    """Return the shape with -1 for unknown sizes and for the rows; one column is ``(-1,)``."""
    rest = tuple(size if isinstance(size, int) and size > 0 else -1 for size in (shape or ())[1:])
    return (-1,) if rest == (1,) else (-1, *rest)


def _is_map(node: Any) -> bool:
    return str(node.type).startswith("seq(map(")


def _name_outputs(nodes: Sequence[Any]) -> dict[str, Any]:
    """Return our name → the graph's output, ``predict`` first."""
    if not nodes:
        raise UnloadableModel("The ONNX graph has no outputs.")
    by_name = {node.name: node for node in nodes}
    if "predict" in by_name:
        return {"predict": by_name.pop("predict"), **by_name}
    label = next(
        (node for node in nodes if _DTYPES.get(node.type) in _LABEL_DTYPES and len(_row_shape(node.shape)) == 1), None
    )
    scores = next((node for node in nodes if _is_map(node) or _is_float_matrix(node)), None)
    first = label if label is not None and scores is not None else nodes[0]
    named = {"predict": first}
    if label is not None and scores is not None:
        named["predict_proba"] = scores
    for node in nodes:
        if all(node is not other for other in named.values()):
            named[node.name if node.name not in named else f"{node.name}_raw"] = node
    return named


def _is_float_matrix(node: Any) -> bool:
    return _DTYPES.get(node.type) in _FLOAT_DTYPES and len(_row_shape(node.shape)) == 2


def _output_spec(name: str, node: Any, facts: OnnxFacts) -> TensorSpec:
    if _is_map(node):
        return TensorSpec(name=name, dtype="float32", shape=(-1, len(facts.classes) if facts.classes else -1))
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        raise UnloadableModel(
            f"Output {node.name!r} of the ONNX graph is a {node.type}; only tensors and ZipMaps are given out."
        )
    shape = _row_shape(node.shape) if node.shape else (-1,)
    return TensorSpec(name=name, dtype=dtype, shape=shape if name != "predict_proba" or len(shape) > 1 else (-1, 1))


@dataclass(frozen=True, slots=True)
class _Feed:
    """One input of the graph: the columns of the signature that it is made of, and its type."""

    name: str
    columns: tuple[str, ...]
    dtype: np.dtype[Any]
    is_text: bool
    rank: int
    is_joined: bool


class OnnxModel(LoadedModel):
    """A session with its inputs and outputs worked out beforehand."""

    is_thread_safe = True

    def __init__(self, data: bytes, signature: ModelSignature) -> None:
        self.signature = signature
        session = open_session(data)
        columns = written_columns(session.get_modelmeta().custom_metadata_map)
        self._feeds = _plan_feeds(session.get_inputs(), signature, columns)
        self._outputs = self._plan_outputs(session)
        self._session = session
        self._run = (
            session._sess.run if hasattr(session, "_sess") else session.run
        )  # skips a check of names, 1 µs a call
        self._table = _table_feeds(self._feeds)
        self._fixed_rows = _fixed_rows(session.get_inputs())
        self._size_bytes = SESSION_BYTES + SESSION_FACTOR * len(data)

    def _plan_outputs(self, session: Any) -> dict[str, tuple[str, Callable[[Any], np.ndarray]]]:
        named = _name_outputs(session.get_outputs())
        missing = [spec.name for spec in self.signature.outputs if spec.name not in named]
        if missing:
            raise UnloadableModel(f"The signature names the outputs {missing}; the ONNX graph gives {sorted(named)}.")
        return {
            spec.name: (named[spec.name].name, self._shaper(named[spec.name], spec)) for spec in self.signature.outputs
        }

    def _shaper(self, node: Any, spec: TensorSpec) -> Callable[[Any], np.ndarray]:
        if _is_map(node):
            classes = self.signature.classes
            return lambda rows: _from_maps(rows, classes)
        if spec.is_column and len(node.shape) != 1:
            return _as_column
        return np.asarray if spec.dtype == "string" else _as_is

    def predict(self, inputs: Arrays, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Run the graph; the asked outputs alone are computed."""
        plan = self._outputs
        wanted = [plan[name][0] for name in outputs]
        try:
            if self._fixed_rows is None:
                result = self._run(wanted, self._feed(inputs), None)
            else:
                result = self._run_in_steps(wanted, self._feed(inputs), step=self._fixed_rows)
        except Exception as error:
            if any(words in str(error) for words in _NO_MEMORY):
                raise MemoryError from error
            raise PredictionFailed(f"The model refuses these inputs: {_brief(error)}") from error
        return {name: plan[name][1](value) for name, value in zip(outputs, result, strict=True)}

    def _run_in_steps(self, wanted: list[str], feed: dict[str, np.ndarray], *, step: int) -> list[Any]:
        """Run a graph that takes ``step`` rows and no other number; the last row is repeated to fill the last step."""
        n_rows = len(next(iter(feed.values())))
        runs = []
        for start in range(0, max(n_rows, 1), step):
            rows = np.minimum(np.arange(start, start + step), n_rows - 1)
            runs.append(self._run(wanted, {name: array[rows] for name, array in feed.items()}, None))
        return [_join(pieces, step=step, n_rows=n_rows) for pieces in zip(*runs, strict=True)]

    def _feed(self, inputs: Arrays) -> dict[str, np.ndarray]:
        if type(inputs) is TableArrays and self._table is not None:
            numbers, texts = self._table
            if (numbers is None or inputs.number_names == numbers.columns) and (
                texts is None or inputs.text_names == texts.columns
            ):
                feed = {} if numbers is None else {numbers.name: inputs.numbers}
                if texts is not None:
                    feed[texts.name] = inputs.texts
                return feed  # type: ignore[return-value]
        return {feed.name: _assemble(feed, inputs) for feed in self._feeds}

    @property
    def size_bytes(self) -> int:
        """An estimate from the file's size, see :data:`SESSION_FACTOR`."""
        return self._size_bytes


SESSION_BYTES = 80_000
SESSION_FACTOR = 5
"""Measured over 50 sessions each: 78 kB for a logistic regression of 4 kB, 941 kB for a forest of 190 kB."""


def _fixed_rows(nodes: Sequence[Any]) -> int | None:
    """Return the number of rows that the graph was exported for, ``None`` where it takes any."""
    sizes = {node.shape[0] for node in nodes}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) and size > 0 else None


def _join(pieces: Sequence[Any], *, step: int, n_rows: int) -> Any:
    """Put the answers of several runs together: arrays, or the lists of a ZipMap."""
    if any(len(piece) != step for piece in pieces):
        raise ValueError(f"it answers {len(pieces[0])} rows for {step}")
    if isinstance(pieces[0], list):
        return [row for piece in pieces for row in piece][:n_rows]
    return np.concatenate(pieces)[:n_rows]


def _as_column(array: np.ndarray) -> np.ndarray:
    """Return ``(n_rows,)`` from ``(n_rows, 1)``; graphs that do not state their shapes may give more, which is kept."""
    return array.reshape(len(array)) if array.ndim and array.size == len(array) else array


def _as_is(array: np.ndarray) -> np.ndarray:
    return array


def _from_maps(rows: Sequence[dict[Any, float]], classes: Sequence[Any] | None) -> np.ndarray:
    """Return ``(n_rows, n_classes)`` from a ZipMap's list of dictionaries."""
    order = list(classes) if classes is not None else sorted(rows[0]) if rows else []
    return np.asarray([[row[label] for label in order] for row in rows], dtype=np.float32).reshape(
        len(rows), len(order)
    )


def _plan_feeds(
    nodes: Sequence[Any], signature: ModelSignature, columns: dict[str, tuple[str, ...]] | None
) -> tuple[_Feed, ...]:
    specs = {spec.name: spec for spec in signature.inputs}
    if columns is None:
        columns = {node.name: (node.name,) for node in nodes}
        if signature.is_tabular and len(nodes) == 1 and set(specs) != set(columns):
            columns = {nodes[0].name: tuple(specs)}
    wanted = sorted(name for names in columns.values() for name in names)
    if wanted != sorted(specs) or set(columns) != {node.name for node in nodes}:
        raise UnloadableModel(
            f"The signature's inputs {sorted(specs)[:20]} are not those of the ONNX graph, {wanted[:20]}."
        )
    return tuple(_plan_feed(node, columns[node.name], specs) for node in nodes)


def _plan_feed(node: Any, names: tuple[str, ...], specs: dict[str, TensorSpec]) -> _Feed:
    dtype = _input_spec(node).dtype
    is_text = dtype == "string"
    if any((specs[name].dtype == "string") != is_text for name in names):
        raise UnloadableModel(
            f"The signature gives another type than the ONNX graph's {node.type} to input {node.name!r}."
        )
    width = node.shape[1] if len(node.shape) == 2 and isinstance(node.shape[1], int) else None
    is_joined = len(names) > 1 or (len(node.shape) == 2 and specs[names[0]].is_column)
    if is_joined and (len(node.shape) != 2 or (width is not None and width != len(names))):
        raise UnloadableModel(
            f"Input {node.name!r} of the ONNX graph takes {width or 1} columns, the signature has {len(names)}."
        )
    kind = np.dtype(object) if is_text else np.dtype(dtype)
    return _Feed(node.name, names, kind, is_text, len(node.shape), is_joined)


def _table_feeds(feeds: Sequence[_Feed]) -> tuple[_Feed | None, _Feed | None] | None:
    """Return the feeds of numbers and of text where whole matrices can be passed through, else ``None``."""
    numbers = [feed for feed in feeds if not feed.is_text]
    texts = [feed for feed in feeds if feed.is_text]
    if len(numbers) > 1 or len(texts) > 1 or any(not feed.is_joined for feed in feeds):
        return None
    if numbers and numbers[0].dtype != np.float64:
        return None
    return (numbers[0] if numbers else None, texts[0] if texts else None)


def _assemble(feed: _Feed, inputs: Arrays) -> np.ndarray:
    if not feed.is_joined:
        return _fitting(inputs[feed.columns[0]], feed)
    first = inputs[feed.columns[0]]
    matrix = np.empty((len(first), len(feed.columns)), dtype=feed.dtype)
    for index, name in enumerate(feed.columns):
        matrix[:, index] = inputs[name]
    return matrix


def _fitting(array: np.ndarray, feed: _Feed) -> np.ndarray:
    if not feed.is_text and array.dtype != feed.dtype:
        array = array.astype(feed.dtype)
    elif feed.is_text and array.dtype != object:
        array = array.astype(object)
    if array.ndim == 1 and feed.rank == 2:
        array = array.reshape(-1, 1)
    return np.ascontiguousarray(array)


def _brief(error: BaseException) -> str:
    """Return the first line of a library's message without its prefix, at most 300 characters."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0].removeprefix("[ONNXRuntimeError] : ")[:300]
