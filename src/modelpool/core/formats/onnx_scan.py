"""What an ONNX file holds, told from its protobuf fields without building anything.

Protobuf's C parser skips what ``onnx_schema.py`` does not declare; the ``onnx`` package is not needed. ONNX Runtime
reads the same bytes with the same library, so both see the same graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from modelpool.core.errors import UnloadableModel, UntrustedFormat
from modelpool.core.formats.onnx_schema import model_type
from modelpool.core.formats.onnx_trees import check_trees

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Operator sets that ONNX Runtime itself brings. ``com.microsoft`` is among them because converters and quantisation
write it (``CDist`` of k nearest neighbours); its generation loops carry subgraphs and fall to the rule below."""

REFUSED_OPERATORS = frozenset({"Loop", "Scan", "If", "SequenceMap", "Optional", "EPContext"})
"""A 305-byte graph with ``Loop`` runs for ever, and checkers call it valid; ``EPContext`` names another file."""

MAX_NODES = 200_000
"""With functions written out: a file of a few hundred bytes can call functions that call functions, and so on."""

MAX_RANK = 8
MAX_DIMENSION = (1 << 31) - 1
MAX_VALUES = 20_000
MAX_DENSE_ELEMENTS = 1 << 28
_ELEMENTS_PER_BYTE = 4
"""Of the smallest types."""


@dataclass(frozen=True, slots=True)
class OnnxFacts:
    """Metadata entries, and the class labels that a classifier node carries, where there are any."""

    metadata: dict[str, str] = field(default_factory=dict)
    classes: tuple[str | int, ...] | None = None


def scan(data: bytes, *, checks_trees: bool = True) -> OnnxFacts:
    """Read the facts; ``checks_trees`` costs as much again as loading, and is for files that were not checked before.

    Raises :class:`~modelpool.core.errors.UnloadableModel` for bytes that are no ONNX model and
    :class:`~modelpool.core.errors.UntrustedFormat` for what is refused.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]

    model = model_type()()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise UnloadableModel("The file is not an ONNX model, or it is cut off.") from error
    if not model.graph.node:
        raise UnloadableModel("The ONNX file holds no graph with nodes.")
    _check_size(model)
    local = {function.domain for function in model.functions}
    classes = None
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        _check_node(node, domains=ALLOWED_DOMAINS | local, file_bytes=len(data))
        if checks_trees and node.op_type.startswith("TreeEnsemble"):
            check_trees(node)
        classes = _classes_of(node) or classes
    for tensor in model.graph.initializer:
        _check_tensor(tensor, file_bytes=len(data))
    for sparse in model.graph.sparse_initializer:
        _check_sparse(sparse, file_bytes=len(data))
    for value in (*model.graph.input, *model.graph.output):
        _check_dimensions([dimension.dim_value for dimension in value.type.tensor_type.shape.dim])
    return OnnxFacts({entry.key: entry.value for entry in model.metadata_props}, classes)


def _check_size(model: Any) -> None:
    """Bound the number of nodes once every call of a function is written out, as ONNX Runtime does."""
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size_of(key: tuple[str, str], above: tuple[tuple[str, str], ...]) -> int:
        if key in above or len(above) > MAX_RANK:
            raise UntrustedFormat("The functions of the ONNX file call each other too deeply or in a circle.")
        if key not in sizes:
            calls = ((node.domain, node.op_type) for node in bodies[key])
            sizes[key] = sum(size_of(call, (*above, key)) if call in bodies else 1 for call in calls)
        return sizes[key]

    calls = ((node.domain, node.op_type) for node in model.graph.node)
    n_nodes = sum(size_of(call, ()) if call in bodies else 1 for call in calls)
    n_nodes = max(n_nodes, sum(map(len, bodies.values())))
    if n_nodes > MAX_NODES:
        raise UnloadableModel(f"The ONNX graph has {n_nodes} nodes; at most {MAX_NODES} are taken.")
    if len(model.graph.input) + len(model.graph.output) > MAX_VALUES:
        raise UnloadableModel(f"The ONNX graph has more than {MAX_VALUES} inputs and outputs.")


def _check_node(node: Any, *, domains: frozenset[str] | set[str], file_bytes: int) -> None:
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
        tensors = [*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])]
        for tensor in tensors:
            _check_tensor(tensor, file_bytes=file_bytes)
        sparse = [
            *attribute.sparse_tensors,
            *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
        ]
        for each in sparse:
            _check_sparse(each, file_bytes=file_bytes)


def _check_sparse(sparse: Any, *, file_bytes: int) -> None:
    _check_tensor(sparse.values, file_bytes=file_bytes)
    _check_tensor(sparse.indices, file_bytes=file_bytes)
    if _check_dimensions(sparse.dims) > MAX_DENSE_ELEMENTS:
        raise UnloadableModel("A sparse constant of the ONNX model is too large when it is written out.")


def _check_tensor(tensor: Any, *, file_bytes: int) -> None:
    if tensor.data_location == 1 or tensor.external_data:
        raise UntrustedFormat(
            "The ONNX model keeps weights in other files; save it as one file (without external data)."
        )
    if _check_dimensions(tensor.dims) > _ELEMENTS_PER_BYTE * file_bytes:
        raise UnloadableModel("A constant of the ONNX model is declared larger than the file.")


def _check_dimensions(dimensions: Sequence[int]) -> int:
    """Return how many elements they count."""
    if len(dimensions) > MAX_RANK or any(not 0 <= size <= MAX_DIMENSION for size in dimensions):
        raise UnloadableModel(
            f"A shape in the ONNX model is impossible; at most {MAX_RANK} dimensions up to {MAX_DIMENSION} are taken."
        )
    return prod(dimensions)


def _classes_of(node: Any) -> tuple[str | int, ...] | None:
    """Labels of ``LinearClassifier``, ``TreeEnsembleClassifier``, ``SVMClassifier``, ``ZipMap`` …"""
    for attribute in node.attribute:
        if attribute.name in ("classlabels_strings", "classlabels_stringsb") and attribute.strings:
            return tuple(value.decode("utf-8", "replace") for value in attribute.strings)
        if attribute.name in ("classlabels_ints", "classlabels_int64s") and attribute.ints:
            return tuple(int(value) for value in attribute.ints)
    return None
