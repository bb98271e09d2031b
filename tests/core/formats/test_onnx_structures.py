"""ONNX files that would grow, loop or look elsewhere are refused from their fields alone, before anything is built."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor

from modelpool.core.errors import UnloadableModel, UntrustedFormat
from modelpool.core.formats.onnx_scan import scan
from tests.core.formats import hostile

ROWS = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)


def _exported(model: Any) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import to_onnx

        return to_onnx(model, ROWS[:1])


@pytest.fixture(scope="module")
def forest() -> bytes:
    return _exported(RandomForestRegressor(3, max_depth=4, random_state=0).fit(ROWS, ROWS[:, 0])).SerializeToString()


def _changed(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    model = onnx.load_from_string(data)
    node = next(node for node in model.graph.node if node.op_type.startswith("TreeEnsemble"))
    change({attribute.name: attribute for attribute in node.attribute})
    return bytes(model.SerializeToString())


def _put(name: str, at: int, value: int) -> Callable[[dict[str, Any]], None]:
    def change(attributes: dict[str, Any]) -> None:
        attributes[name].ints[at] = value

    return change


def _cut(name: str) -> Callable[[dict[str, Any]], None]:
    def change(attributes: dict[str, Any]) -> None:
        del attributes[name].ints[3:]

    return change


@pytest.mark.parametrize(
    "change",
    [
        _put("nodes_truenodeids", 0, 0),
        _put("nodes_falsenodeids", 1, 0),
        _put("nodes_truenodeids", 0, 10**6),
        _put("nodes_truenodeids", 0, -3),
        _put("nodes_truenodeids", 0, 2),
        _put("nodes_nodeids", 1, 0),
        _put("nodes_treeids", 0, 77),
        _put("nodes_featureids", 0, -1),
        _put("nodes_featureids", 0, 1 << 40),
        _cut("nodes_truenodeids"),
        _cut("nodes_featureids"),
    ],
    ids=range(11),
)
def test_crooked_trees_are_refused(change: Callable[[dict[str, Any]], None], forest: bytes) -> None:
    with pytest.raises(UnloadableModel, match="trees are inconsistent"):
        scan(_changed(forest, change))


def test_trees_as_they_are_exported_pass(forest: bytes) -> None:
    scan(forest)
    scan(_exported(GradientBoostingClassifier(n_estimators=3).fit(ROWS, ROWS[:, 1] > 0)).SerializeToString())


def _indexed(**changes: list[int]) -> bytes:
    """A ``TreeEnsemble`` of version 5: one node, two leaves."""
    attributes: dict[str, Any] = {
        "tree_roots": [0], "nodes_featureids": [0], "nodes_truenodeids": [0], "nodes_falsenodeids": [1],
        "nodes_trueleafs": [1], "nodes_falseleafs": [1], "leaf_targetids": [0, 0], **changes,
    }  # fmt: skip
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    return hostile._model([node], domain="ai.onnx.ml")


def test_trees_of_the_newest_operator_are_checked() -> None:
    scan(_indexed())
    for changes in (
        {"nodes_falsenodeids": [2]},
        {"nodes_trueleafs": [0]},
        {"tree_roots": [1]},
        {"nodes_trueleafs": [1, 1]},
    ):
        with pytest.raises(UnloadableModel, match="trees are inconsistent"):
            scan(_indexed(**changes))


def _with_functions(bodies: list[list[str]]) -> bytes:
    """Functions ``f0``, ``f1`` … whose bodies call what is named."""
    model = onnx.load_from_string(hostile.identity())
    model.graph.node[0].op_type, model.graph.node[0].domain = "f0", "own"
    model.opset_import.append(helper.make_opsetid("own", 1))
    for number, calls in enumerate(bodies):
        nodes = [helper.make_node(call, ["x"], [f"y{at}"], domain="own") for at, call in enumerate(calls)]
        imports = [helper.make_opsetid("own", 1)]
        model.functions.append(helper.make_function("own", f"f{number}", ["x"], ["y0"], nodes, imports))
    return bytes(model.SerializeToString())


def test_functions_that_call_functions_are_counted_as_written_out() -> None:
    scan(_with_functions([["f1", "f1"], ["Identity"]]))
    with pytest.raises(UnloadableModel, match="nodes"):
        scan(_with_functions([*[[f"f{n + 1}"] * 30 for n in range(5)], ["Identity"]]))
    for circle in ([["f0"]], [["f1"], ["f0"]]):
        with pytest.raises(UntrustedFormat, match="circle"):
            scan(_with_functions(circle))
    with pytest.raises(UntrustedFormat, match="deeply"):
        scan(_with_functions([*[[f"f{n + 1}"] for n in range(30)], ["Identity"]]))


def _with_constant(dimensions: list[int]) -> bytes:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dimensions, raw_data=b"\0" * 8)
    return hostile._model([helper.make_node("Add", ["x", "w"], ["y"])], initializers=[tensor])


@pytest.mark.parametrize("dimensions", [[1 << 33], [1 << 20, 1 << 20], [-1], [1] * 9], ids=str)
def test_constants_of_impossible_sizes_are_refused(dimensions: list[int]) -> None:
    scan(_with_constant([2]))
    with pytest.raises(UnloadableModel, match=r"larger than the file|impossible"):
        scan(_with_constant(dimensions))


def test_sparse_constant_that_grows_is_refused() -> None:
    model = onnx.load_from_string(hostile.identity())
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1 << 20, 1 << 20]))
    with pytest.raises(UnloadableModel, match="sparse"):
        scan(model.SerializeToString())


@pytest.mark.parametrize("shape", [[1] * 9, [1 << 40]], ids=str)
def test_inputs_of_impossible_shapes_are_refused(shape: list[int]) -> None:
    model = onnx.load_from_string(hostile.identity())
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    with pytest.raises(UnloadableModel, match="impossible"):
        scan(model.SerializeToString())


def test_operator_that_names_another_file_is_refused() -> None:
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="/etc/passwd")
    with pytest.raises(UntrustedFormat, match="EPContext"):
        scan(hostile._model([node], domain="com.microsoft"))


def test_trees_are_looked_at_once_before_a_version_exists(forest: bytes) -> None:
    from modelpool.core.runtime.process.isolation import ModelHost

    host = ModelHost(1 << 30)
    try:
        assert host.inspect(forest).format == "onnx"
        with pytest.raises(UnloadableModel, match="trees are inconsistent"):
            host.inspect(_changed(forest, _put("nodes_truenodeids", 0, 2)), signature=host.inspect(forest).signature)
    finally:
        host.close()
