"""What an ONNX file holds, told from its protobuf fields without building anything.

Only the fields that matter here are declared (numbers from ``onnx/onnx-ml.proto``), so protobuf's C parser skips the
weights; the ``onnx`` package is not needed. ONNX Runtime reads the same bytes with the same library, so both see the
same graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from modelpool.core.errors import UnloadableModel, UntrustedFormat

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Operator sets that ONNX Runtime itself brings. ``com.microsoft`` is among them because converters and quantisation
write it (``CDist`` of k nearest neighbours); its generation loops carry subgraphs and fall to the rule below."""

REFUSED_OPERATORS = frozenset({"Loop", "Scan", "If", "SequenceMap", "Optional"})
"""A 305-byte graph with ``Loop`` runs for ever, and checkers call it valid."""

MAX_NODES = 200_000


@dataclass(frozen=True, slots=True)
class OnnxFacts:
    """Metadata entries, and the class labels that a classifier node carries, where there are any."""

    metadata: dict[str, str] = field(default_factory=dict)
    classes: tuple[str | int, ...] | None = None


def scan(data: bytes) -> OnnxFacts:
    """Read the facts.

    Raises :class:`~modelpool.core.errors.UnloadableModel` for bytes that are no ONNX model and
    :class:`~modelpool.core.errors.UntrustedFormat` for what is refused.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]

    model = _model_type()()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise UnloadableModel("The file is not an ONNX model, or it is cut off.") from error
    if not model.graph.node:
        raise UnloadableModel("The ONNX file holds no graph with nodes.")
    local = {function.domain for function in model.functions}
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    if len(nodes) > MAX_NODES:
        raise UnloadableModel(f"The ONNX graph has {len(nodes)} nodes; at most {MAX_NODES} are taken.")
    classes = None
    for node in nodes:
        _check_node(node, domains=ALLOWED_DOMAINS | local)
        classes = _classes_of(node) or classes
    for tensor in model.graph.initializer:
        _check_tensor(tensor)
    for sparse in model.graph.sparse_initializer:
        _check_sparse(sparse)
    return OnnxFacts({entry.key: entry.value for entry in model.metadata_props}, classes)


def _check_node(node: Any, *, domains: frozenset[str] | set[str]) -> None:
    if node.domain not in domains:
        raise UntrustedFormat(
            f"The ONNX graph uses operators of the domain {node.domain[:80]!r}; only ONNX's and ONNX Runtime's are run."
        )
    if node.op_type in REFUSED_OPERATORS:
        raise UntrustedFormat(
            f"The ONNX graph uses {node.op_type}; loops and branches are not run. Export the model without them."
        )
    for attribute in node.attribute:
        if attribute.HasField("g") or attribute.graphs:
            raise UntrustedFormat(
                f"The ONNX operator {node.op_type[:80]!r} carries a graph of its own, which is not run."
            )
        if attribute.HasField("t"):
            _check_tensor(attribute.t)
        for tensor in attribute.tensors:
            _check_tensor(tensor)
        for sparse in (
            *attribute.sparse_tensors,
            *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
        ):
            _check_sparse(sparse)


def _check_sparse(sparse: Any) -> None:
    _check_tensor(sparse.values)
    _check_tensor(sparse.indices)


def _check_tensor(tensor: Any) -> None:
    if tensor.data_location == 1 or tensor.external_data:
        raise UntrustedFormat(
            "The ONNX model keeps weights in other files; save it as one file (without external data)."
        )


def _classes_of(node: Any) -> tuple[str | int, ...] | None:
    """Labels of ``LinearClassifier``, ``TreeEnsembleClassifier``, ``SVMClassifier``, ``ZipMap`` …"""
    for attribute in node.attribute:
        if attribute.name in ("classlabels_strings", "classlabels_stringsb") and attribute.strings:
            return tuple(value.decode("utf-8", "replace") for value in attribute.strings)
        if attribute.name in ("classlabels_ints", "classlabels_int64s") and attribute.ints:
            return tuple(int(value) for value in attribute.ints)
    return None


_OPTIONAL, _REPEATED = 1, 3
_INT64, _INT32, _STRING, _MESSAGE, _BYTES = 3, 5, 9, 11, 12
"""``FieldDescriptorProto.Label`` and ``.Type``."""

_MESSAGES: dict[str, list[tuple[str, int, int, int, str]]] = {
    "Entry": [("key", 1, _OPTIONAL, _STRING, ""), ("value", 2, _OPTIONAL, _STRING, "")],
    "Tensor": [("data_location", 14, _OPTIONAL, _INT32, ""), ("external_data", 13, _REPEATED, _MESSAGE, "Entry")],
    "Sparse": [("values", 1, _OPTIONAL, _MESSAGE, "Tensor"), ("indices", 2, _OPTIONAL, _MESSAGE, "Tensor")],
    "Empty": [],
    "Attribute": [
        ("name", 1, _OPTIONAL, _STRING, ""), ("t", 5, _OPTIONAL, _MESSAGE, "Tensor"),
        ("g", 6, _OPTIONAL, _MESSAGE, "Empty"),
        ("ints", 8, _REPEATED, _INT64, ""), ("strings", 9, _REPEATED, _BYTES, ""),
        ("tensors", 10, _REPEATED, _MESSAGE, "Tensor"), ("graphs", 11, _REPEATED, _MESSAGE, "Empty"),
        ("sparse_tensor", 22, _OPTIONAL, _MESSAGE, "Sparse"), ("sparse_tensors", 23, _REPEATED, _MESSAGE, "Sparse"),
    ],
    "Node": [
        ("op_type", 4, _OPTIONAL, _STRING, ""), ("attribute", 5, _REPEATED, _MESSAGE, "Attribute"),
        ("domain", 7, _OPTIONAL, _STRING, ""),
    ],
    "Graph": [
        ("node", 1, _REPEATED, _MESSAGE, "Node"), ("initializer", 5, _REPEATED, _MESSAGE, "Tensor"),
        ("sparse_initializer", 15, _REPEATED, _MESSAGE, "Sparse"),
    ],
    "Function": [("node", 7, _REPEATED, _MESSAGE, "Node"), ("domain", 10, _OPTIONAL, _STRING, "")],
    "Model": [
        ("graph", 7, _OPTIONAL, _MESSAGE, "Graph"), ("metadata_props", 14, _REPEATED, _MESSAGE, "Entry"),
        ("functions", 25, _REPEATED, _MESSAGE, "Function"),
    ],
}  # fmt: skip


@lru_cache(maxsize=1)
def _model_type() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped, unused-ignore]

    file = descriptor_pb2.FileDescriptorProto(name="modelpool_scan.proto", package="modelpool_scan", syntax="proto2")
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for name, number, label, kind, of in fields:
            entry = message.field.add(name=name, number=number, label=label, type=kind)
            if of:
                entry.type_name = f".modelpool_scan.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("modelpool_scan.Model"))
