"""Hostile model files, made when they are needed."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import onnx
import skops.io
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier


def _model(nodes: list[Any], *, initializers: list[Any] | None = None, domain: str | None = None) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        initializers or [],
    )
    domains = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return bytes(helper.make_model(graph, opset_imports=domains, ir_version=9).SerializeToString())


def identity() -> bytes:
    """A harmless graph: two numbers a row, given back."""
    return _model([helper.make_node("Identity", ["x"], ["y"])])


def loop_bomb() -> bytes:
    """A Loop of 2^62 turns; ONNX's checker calls it valid."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go2"]), helper.make_node("Identity", ["s"], ["s2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s2", TensorProto.FLOAT, None),
        ],
    )
    turns = [
        helper.make_tensor("m", TensorProto.INT64, [], [1 << 62]),
        helper.make_tensor("c", TensorProto.BOOL, [], [1]),
    ]
    return _model([helper.make_node("Loop", ["m", "c", "x"], ["y"], body=body)], initializers=turns)


def external_data() -> bytes:
    """Weights that lie in another file of the server."""
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return _model([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[tensor])


def custom_domain() -> bytes:
    """An operator from a library that is not ours."""
    return _model([helper.make_node("Run", ["x"], ["y"], domain="evil.example")], domain="evil.example")


def memory_bomb() -> bytes:
    """A constant of 64 GiB in a file of 200 bytes."""
    shape = helper.make_tensor("s", TensorProto.INT64, [1], [1 << 34])
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["big"]),
        helper.make_node("ReduceMax", ["big"], ["top"]),
        helper.make_node("Add", ["x", "top"], ["y"]),
    ]
    return _model(nodes, initializers=[shape])


def unknown_type() -> bytes:
    """A skops file with a function off the list."""
    return skops.io.dumps(FunctionTransformer(np.savetxt))


def _tree() -> DecisionTreeClassifier:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    return DecisionTreeClassifier(random_state=0).fit(rows, rows[:, 0] > 0.1)


def altered_tree(**changes: int) -> bytes:
    """A tree whose first node has other children or another feature than the fit gave it."""
    model = _tree()
    state = model.tree_.__getstate__()
    for name, value in changes.items():
        state["nodes"][name][0] = value
    model.tree_.__setstate__(state)
    return skops.io.dumps(model)


def forest_of_wider_trees() -> bytes:
    """A forest that says it takes two features, of trees that look at a hundred."""
    rows = np.random.default_rng(0).normal(size=(60, 100))
    model = RandomForestClassifier(3, random_state=0).fit(rows, rows[:, 99] > 0)
    model.n_features_in_ = 2
    return skops.io.dumps(model)


def zip_bomb() -> bytes:
    """A skops file of some hundred kilobytes that inflates to 512 MiB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("1.npy", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(8 << 20))
        archive.writestr("schema.json", "{}")
    return buffer.getvalue()


def good_tree() -> bytes:
    """A tree as it was fitted, with booleans as classes."""
    return skops.io.dumps(_tree())
