"""A small builder of ONNX graphs: nodes by name, constants shared, all arithmetic in double precision.

scikit-learn computes in float64. Compiled in float32, as converters do by default, a value that a scaler or an
imputer moves by one part in 10^7 falls on the other side of a tree's threshold, and probabilities differ by up to
0.06. So everything here is float64 unless scikit-learn itself rounds (trees round their inputs to float32).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

OPSET, ML_OPSET, IR_VERSION = 21, 3, 10
"""Operator sets 21 and ai.onnx.ml 3 (tree ensembles in double), as of ONNX Runtime 1.18."""

ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"


class NotConvertible(Exception):
    """The estimator, or one of its options, has no compiled form; the message says which."""


class NeverConvertible(NotConvertible):
    """The estimator refuses rows that any graph would answer, so no other way of compiling is tried either."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A value of the graph, ``(n_rows, width)``, of float64 or, where ``is_text``, of strings.

    One that stands for the table itself knows its columns, as ``table``: matrices, each with its columns' names. Where
    they are of numbers and text there is no one matrix, ``name`` is empty, and only a step that chooses columns fits.
    """

    name: str
    width: int
    is_text: bool = False
    table: tuple[tuple[Matrix, tuple[str, ...]], ...] = ()


@dataclass(slots=True)
class Graph:
    """Nodes and constants under construction."""

    nodes: list[tuple[str, list[str], list[str], str, dict[str, Any]]] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    _known: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    _count: int = 0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Take back what the block added when it raises :class:`NotConvertible`, so that another way can be tried."""
        n_nodes, constants, known = len(self.nodes), dict(self.constants), dict(self._known)
        try:
            yield
        except NotConvertible:
            del self.nodes[n_nodes:]
            self.constants, self._known = constants, known
            raise

    def fresh(self) -> str:
        """Return a name that is not used yet; short, for the file's size."""
        self._count += 1
        return f"v{self._count}"

    def op(self, kind: str, *inputs: str | np.ndarray | float, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name; arrays and numbers become constants."""
        return self.ops(kind, *inputs, domain=domain, n_outputs=1, **attributes)[0]

    def ops(
        self, kind: str, *inputs: str | np.ndarray | float, n_outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs."""
        names = [value if isinstance(value, str) else self.constant(np.asarray(value)) for value in inputs]
        outputs = [self.fresh() for _ in range(n_outputs)]
        self.nodes.append((kind, names, outputs, domain, attributes))
        return outputs

    def constant(self, value: np.ndarray) -> str:
        """Return the name of a constant; equal ones are kept once."""
        value = np.ascontiguousarray(value).reshape(value.shape)
        if value.dtype == object or value.dtype.kind == "U":
            key = (f"text{[str(item) for item in value.ravel()]}", value.shape, b"")
        else:
            key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._known:
            self._known[key] = self.fresh()
            self.constants[self._known[key]] = value
        return self._known[key]

    def rename(self, old: str, new: str) -> None:
        """Give an output its public name."""
        self.nodes.append(("Identity", [old], [new], "", {}))

    def gather(self, source: Matrix, columns: Sequence[int]) -> Matrix:
        """Return some columns of a matrix, in the given order."""
        if not source.name:
            raise NotConvertible("numbers and text reach the same step")
        if list(columns) == list(range(source.width)):
            return source
        name = self.op("Gather", source.name, np.asarray(columns, dtype=np.int64), axis=1)
        return Matrix(name, len(columns), source.is_text)

    def concat(self, parts: Sequence[Matrix]) -> Matrix:
        """Put matrices side by side."""
        parts = [part for part in parts if part.width]
        if not parts:
            raise NotConvertible("no feature is left after the preprocessing")
        if len({part.is_text for part in parts}) > 1 or not all(part.name for part in parts):
            raise NotConvertible("numbers and text reach the same step")
        if len(parts) == 1:
            return parts[0]
        name = self.op("Concat", *(part.name for part in parts), axis=1)
        return Matrix(name, sum(part.width for part in parts), parts[0].is_text)

    def cast(self, name: str, to: type[np.generic]) -> str:
        """Convert numbers."""
        return self.op("Cast", name, to=_ELEMENT_TYPES[to])


_ELEMENT_TYPES: dict[type[np.generic], int] = {
    np.float32: 1, np.int64: 7, np.str_: 8, np.bool_: 9, np.float64: 11,
}  # fmt: skip
"""``TensorProto.DataType`` of the ONNX specification."""


def write_model(
    graph: Graph,
    *,
    inputs: Sequence[Matrix],
    outputs: dict[str, tuple[type[np.generic], int | None]],
    metadata: dict[str, str],
) -> bytes:
    """Return the file; an output's width ``None`` means one value a row."""
    import onnx
    from onnx import helper

    def info(name: str, kind: int, width: int | None) -> Any:
        return helper.make_tensor_value_info(name, kind, ["n"] if width is None else ["n", width])

    living = _living(_folded(graph, outputs), outputs)
    used = {name for node in living for name in node[1]}
    nodes = [helper.make_node(kind, i, o, domain=domain, **a) for kind, i, o, domain, a in living]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "model",
            [info(item.name, 8 if item.is_text else 11, item.width) for item in inputs],
            [info(name, _ELEMENT_TYPES[kind], width) for name, (kind, width) in outputs.items()],
            [_tensor(name, value) for name, value in graph.constants.items() if name in used],
        ),
        opset_imports=[
            helper.make_opsetid("", OPSET),
            helper.make_opsetid(ML, ML_OPSET),
            *([helper.make_opsetid(MICROSOFT, 1)] if any(node[3] == MICROSOFT for node in living) else []),
        ],
        ir_version=IR_VERSION,
        producer_name="modelpool",
    )
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


Node = tuple[str, list[str], list[str], str, dict[str, Any]]
"""Operator, inputs, outputs, domain, attributes."""


def _living(nodes: Sequence[Node], outputs: dict[str, Any]) -> list[Node]:
    """Return the nodes that the outputs need, in their order."""
    needed, living = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node[2]):
            needed.update(node[1])
            living.append(node)
    return living[::-1]


def _folded(graph: Graph, outputs: dict[str, Any]) -> list[Node]:
    """Let the node before each closing ``Identity`` write the public name itself."""
    public = {inputs[0]: out[0] for kind, inputs, out, _, _ in graph.nodes if kind == "Identity" and out[0] in outputs}
    made = {name for _, _, out, _, _ in graph.nodes for name in out}
    public = {old: new for old, new in public.items() if old in made}
    nodes = []
    for kind, inputs, out, domain, attributes in graph.nodes:
        if kind == "Identity" and public.get(inputs[0]) == out[0]:
            continue
        renamed = ([public.get(name, name) for name in inputs], [public.get(name, name) for name in out])
        nodes.append((kind, *renamed, domain, attributes))
    return nodes


def _tensor(name: str, value: np.ndarray) -> Any:
    from onnx import helper, numpy_helper

    if value.dtype == object or value.dtype.kind == "U":
        encoded: list[Any] = [str(item).encode() for item in value.ravel()]
        return helper.make_tensor(name, 8, value.shape, encoded)
    return numpy_helper.from_array(value, name)
