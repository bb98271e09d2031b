"""Graphs that hang or take all memory, written byte by byte; for the self-test, which needs them in a lean process.

Field numbers are those of ``onnx/onnx-ml.proto``.
"""

from __future__ import annotations

_FLOAT, _INT64, _BOOL = 1, 7, 9
_GRAPH_ATTRIBUTE = 5


def loop_graph() -> bytes:
    """A ``Loop`` of 2^62 turns without inputs; ONNX's checker calls it valid."""
    body = _graph(
        [_node("Identity", ["go"], ["go_on"]), _node("Identity", ["s"], ["s_on"])],
        inputs=[_value("i", _INT64), _value("go", _BOOL), _value("s", _FLOAT)],
        outputs=[_value("go_on", _BOOL), _value("s_on", _FLOAT)],
    )
    attribute = _field(1, b"body") + _field(6, body) + _number(20, _GRAPH_ATTRIBUTE)
    return _model(
        [_node("Loop", ["turns", "true", "start"], ["y"], attribute)],
        constants=[_scalar("turns", _INT64, 1 << 62), _scalar("true", _BOOL, 1), _scalar("start", _FLOAT, 0)],
    )


def constant_graph(count: int = 10 << 30) -> bytes:
    """A constant of ``count`` times four bytes, 40 GiB, in a file of a hundred."""
    shape = _number(1, 1) + _number(2, _INT64) + _field(8, b"shape") + _number(7, count)
    nodes = [_node("ConstantOfShape", ["shape"], ["big"]), _node("ReduceMax", ["big"], ["y"])]
    return _model(nodes, constants=[shape])


def _model(nodes: list[bytes], *, constants: list[bytes]) -> bytes:
    graph = _graph(nodes, inputs=[], outputs=[_value("y", _FLOAT)], constants=constants)
    return _number(1, 9) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 18))


def _graph(
    nodes: list[bytes], *, inputs: list[bytes], outputs: list[bytes], constants: list[bytes] | None = None
) -> bytes:
    parts = [(1, nodes), (5, constants or []), (11, inputs), (12, outputs)]
    return _field(2, b"g") + b"".join(_field(number, part) for number, some in parts for part in some)


def _node(operator: str, inputs: list[str], outputs: list[str], attribute: bytes = b"") -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs) + b"".join(_field(2, o.encode()) for o in outputs)
    return names + _field(4, operator.encode()) + (_field(5, attribute) if attribute else b"")


def _value(name: str, kind: int) -> bytes:
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, b"")))


def _scalar(name: str, kind: int, value: int) -> bytes:
    size = {_FLOAT: 4, _INT64: 8, _BOOL: 1}[kind]
    return _number(2, kind) + _field(8, name.encode()) + _field(9, value.to_bytes(size, "little"))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
