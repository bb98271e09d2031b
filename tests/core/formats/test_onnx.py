"""ONNX files of others: signatures derived from the graph, ZipMaps, matrices fed from columns; hostile ones refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from modelpool.core.errors import PredictionFailed, UnloadableModel, UntrustedFormat
from modelpool.core.formats import FORMATS, TableArrays
from modelpool.core.signature import ModelSignature, TensorSpec
from tests.core.formats import hostile

ONNX = FORMATS["onnx"]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


def _foreign(model: Any, **options: Any) -> bytes:
    """What others make with skl2onnx's defaults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import to_onnx

        return bytes(to_onnx(model, np.zeros((1, 3), dtype=np.float32), **options).SerializeToString())


@pytest.mark.parametrize("labels", [["no", "yes"], [3, 7], ["a", "b", "c"]])
@pytest.mark.parametrize("has_zipmap", [True, False])
def test_classifier_of_skl2onnx_is_served(labels: list[Any], has_zipmap: bool, rows: np.ndarray) -> None:
    target = np.array(labels)[np.arange(len(rows)) % len(labels)]
    model = LogisticRegression().fit(rows, target)
    data = _foreign(model, options=None if has_zipmap else {"zipmap": False})
    signature = ONNX.signature_of(data)
    assert signature.methods == ("predict", "predict_proba")
    assert signature.classes == tuple(labels)
    assert signature.inputs == (TensorSpec("X", "float32", (-1, 3)),)
    answers = ONNX.load(data, signature).predict({"X": rows}, ["predict", "predict_proba"])
    assert answers["predict"].tolist() == model.predict(rows).tolist()
    np.testing.assert_allclose(answers["predict_proba"], model.predict_proba(rows), atol=1e-5)


def _graph(inputs: list[Any], outputs: list[Any], nodes: list[Any]) -> bytes:
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    return bytes(model.SerializeToString())


def _info(name: str, kind: int, *shape: Any) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def test_unusual_output_name_is_predict() -> None:
    data = _graph(
        [_info("in", TensorProto.FLOAT, None, 4)],
        [_info("dense_1", TensorProto.FLOAT, None, 4)],
        [helper.make_node("Relu", ["in"], ["dense_1"])],
    )
    signature = ONNX.signature_of(data)
    assert signature.outputs == (TensorSpec("predict", "float32", (-1, 4)),)
    answer = ONNX.load(data, signature).predict({"in": np.array([[1, -1, 2, -2]], dtype=np.float64)}, ["predict"])
    assert answer["predict"].tolist() == [[1, 0, 2, 0]]


def test_single_columns_of_every_type_are_cast() -> None:
    kinds = {"f": TensorProto.FLOAT, "d": TensorProto.DOUBLE, "i": TensorProto.INT64, "b": TensorProto.BOOL}
    inputs = [_info(name, kind, None, 1) for name, kind in kinds.items()] + [_info("s", TensorProto.STRING, None)]
    outputs = [_info(f"o{name}", kind, None, 1) for name, kind in kinds.items()] + [
        _info("os", TensorProto.STRING, None)
    ]
    nodes = [helper.make_node("Identity", [name], [f"o{name}"]) for name in [*kinds, "s"]]
    data = _graph(inputs, outputs, nodes)
    signature = ONNX.signature_of(data)
    assert all(spec.is_column for spec in signature.inputs)
    assert [spec.dtype for spec in signature.inputs] == ["float32", "float64", "int64", "bool", "string"]
    columns = {
        "f": np.array([0.5, 1.5]), "d": np.array([1, 2]), "i": np.array([3.0, 4.0]), "b": np.array([1.0, 0.0]),
        "s": np.array(["æ", ""]),
    }  # fmt: skip
    answers = ONNX.load(data, signature).predict(columns, signature.methods)
    assert [answers[name].tolist() for name in signature.methods] == [
        [0.5, 1.5],
        [1, 2],
        [3, 4],
        [True, False],
        ["æ", ""],
    ]


def test_columns_of_a_given_signature_fill_one_matrix() -> None:
    named = ModelSignature(
        inputs=(TensorSpec("a", "float64"), TensorSpec("b", "float64")),
        outputs=(TensorSpec("predict", "float32", (-1, 2)),),
    )
    model = ONNX.load(hostile.identity(), named)
    assert model.predict({"b": np.array([2.0]), "a": np.array([1.0])}, ["predict"])["predict"].tolist() == [[1, 2]]
    table = TableArrays(numbers=np.array([[1.0, 2.0]]), number_names=("a", "b"))
    assert model.predict(table, ["predict"])["predict"].tolist() == [[1, 2]]


@pytest.mark.parametrize("exported_for", [1, 4])
@pytest.mark.parametrize("n_rows", [1, 4, 6])
def test_graph_exported_for_a_number_of_rows_takes_any(exported_for: int, n_rows: int) -> None:
    data = _graph(
        [_info("in", TensorProto.FLOAT, exported_for, 2)],
        [_info("out", TensorProto.FLOAT, exported_for, 2)],
        [helper.make_node("Neg", ["in"], ["out"])],
    )
    rows = np.arange(n_rows * 2, dtype=np.float32).reshape(n_rows, 2)
    answers = ONNX.load(data, ONNX.signature_of(data)).predict({"in": rows}, ["predict"])
    assert answers["predict"].tolist() == (-rows).tolist()


def test_zipmap_of_one_row_takes_any_number(rows: np.ndarray) -> None:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    model = LogisticRegression().fit(rows, np.array(["no", "yes"])[np.arange(len(rows)) % 2])
    made = convert_sklearn(model, initial_types=[("X", FloatTensorType([1, 3]))])
    data = bytes(made.SerializeToString())
    answers = ONNX.load(data, ONNX.signature_of(data)).predict({"X": rows}, ["predict", "predict_proba"])
    assert answers["predict"].tolist() == model.predict(rows).tolist()
    np.testing.assert_allclose(answers["predict_proba"], model.predict_proba(rows), atol=1e-5)


def test_answer_of_fewer_rows_than_were_asked_is_a_failed_prediction() -> None:
    data = _graph(
        [_info("in", TensorProto.FLOAT, 4, 2)],
        [_info("out", TensorProto.FLOAT, 1, 2)],
        [helper.make_node("ReduceMax", ["in"], ["out"], keepdims=1, noop_with_empty_axes=0)],
    )
    with pytest.raises(PredictionFailed, match="1 rows for 4"):
        ONNX.load(data, ONNX.signature_of(data)).predict({"in": np.zeros((2, 2), np.float32)}, ["predict"])


def test_wrong_width_at_a_call_is_a_failed_prediction() -> None:
    model = ONNX.load(hostile.identity(), ONNX.signature_of(hostile.identity()))
    with pytest.raises(PredictionFailed, match="refuses"):
        model.predict({"x": np.zeros((1, 5), dtype=np.float32)}, ["predict"])


@pytest.mark.parametrize(
    ("make", "word"),
    [(hostile.loop_bomb, "Loop"), (hostile.external_data, "other files"), (hostile.custom_domain, "evil.example")],
)
def test_hostile_graph_is_refused_before_it_is_built(make: Any, word: str) -> None:
    for read in (ONNX.signature_of, lambda data: ONNX.load(data, ONNX.signature_of(hostile.identity()))):
        with pytest.raises(UntrustedFormat, match=word):
            read(make())


def test_signature_of_other_columns_is_refused() -> None:
    signature = ModelSignature(
        inputs=tuple(TensorSpec(name, "float64") for name in "abc"),
        outputs=(TensorSpec("predict", "float32", (-1, 2)),),
    )
    with pytest.raises(UnloadableModel, match="2 columns"):
        ONNX.load(hostile.identity(), signature)


def test_saving_appends_the_signature_where_others_ignore_it() -> None:
    import onnx

    signature = ONNX.signature_of(hostile.identity())
    data = ONNX.save(onnx.load_from_string(hostile.identity()), signature=signature)
    onnx.checker.check_model(onnx.load_from_string(data))
    assert ONNX.signature_of(data) == signature
