from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from modelpool.core.codecs.base import InferenceRequest
from modelpool.core.codecs.json import JsonCodec
from modelpool.core.codecs.json_fast import FastReader
from modelpool.core.errors import Malformed, SignatureMismatch, TooLarge
from modelpool.core.signature import ModelSignature, TensorSpec

OUTPUTS = (TensorSpec("predict", "string"), TensorSpec("predict_proba", "float64", (-1, 2)))
NUMBERS = ModelSignature((TensorSpec("a", "float64"), TensorSpec("b", "float64")), OUTPUTS)
MATRIX = ModelSignature((TensorSpec("x", "float32", (-1, 3)),), OUTPUTS)
MIXED = ModelSignature(
    (
        TensorSpec("age", "float64", nullable=True),
        TensorSpec("visits", "int32"),
        TensorSpec("city", "string", nullable=True),
        TensorSpec("since", "datetime"),
        TensorSpec("member", "bool"),
    ),
    OUTPUTS,
)
IMAGES = ModelSignature((TensorSpec("image", "uint8", (-1, 2, 2)), TensorSpec("weight", "float64")), OUTPUTS)

MIXED_ROW = {"age": 41.5, "visits": 3, "city": "Graz", "since": "2024-03-01T12:00:00Z", "member": True}


def decode(body: Any, signature: ModelSignature) -> InferenceRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return JsonCodec().decoder(signature)(raw)


def fields_of(body: Any, signature: ModelSignature) -> dict[str, str]:
    with pytest.raises(SignatureMismatch) as caught:
        decode(body, signature)
    return {error.field: error.code for error in caught.value.errors}


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [[1, 2.5], [3, 4]]},
        {"instances": [{"b": 2.5, "a": 1}, {"a": 3, "b": 4}]},
        {"instances": [[1, 2.5], {"b": 4, "a": 3}]},
        {"inputs": {"b": [2.5, 4], "a": [1, 3]}},
        {"inputs": [[1, 2.5], [3, 4]]},
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2.5], [3, 4]]}},
        {"dataframe_split": {"columns": ["b", "a"], "index": [7, 9], "data": [[2.5, 1], [4, 3]]}},
        {"dataframe_split": {"columns": ["a", "b"], "index": ["x", "y"], "data": [[1, 2.5], [3, 4]]}},
        {"dataframe_records": [{"a": 1, "b": 2.5}, {"b": 4, "a": 3}]},
    ],
)
def test_every_form_gives_the_same_arrays(body: Any) -> None:
    request = decode(body, NUMBERS)
    assert request.n_rows == 2
    assert request.outputs == ("predict",)
    assert list(request.inputs) == ["a", "b"]
    np.testing.assert_array_equal(request.inputs["a"], [1.0, 3.0])
    np.testing.assert_array_equal(request.inputs["b"], [2.5, 4.0])
    assert request.inputs["a"].dtype == np.float64


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [[1, 2, 3], [4, 5, 6]]},
        {"instances": [{"x": [1, 2, 3]}, {"x": [4, 5, 6]}]},
        {"inputs": {"x": [[1, 2, 3], [4, 5, 6]]}},
        {"inputs": [[1, 2, 3], [4, 5, 6]]},
        {"dataframe_split": {"columns": ["f0", "f1", "f2"], "data": [[1, 2, 3], [4, 5, 6]]}},
        {"dataframe_split": {"columns": ["x"], "data": [[[1, 2, 3]], [[4, 5, 6]]]}},
        {"dataframe_records": [{"x": [1, 2, 3]}, {"x": [4, 5, 6]}]},
    ],
)
def test_every_form_gives_the_same_matrix(body: Any) -> None:
    request = decode(body, MATRIX)
    np.testing.assert_array_equal(request.inputs["x"], np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    assert request.inputs["x"].dtype == np.float32
    assert request.n_rows == 2


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [MIXED_ROW]},
        {"instances": [list(MIXED_ROW.values())]},
        {"inputs": {name: [value] for name, value in MIXED_ROW.items()}},
        {"dataframe_records": [{**MIXED_ROW, "visits": 3.0}]},
        {"instances": [{**MIXED_ROW, "since": "2024-03-01T13:00:00+01:00"}]},
        {"instances": [{**MIXED_ROW, "since": "2024-03-01 12:00"}]},
    ],
)
def test_mixed_columns_get_the_types_of_the_signature(body: Any) -> None:
    inputs = decode(body, MIXED).inputs
    assert {name: inputs[name][0] for name in MIXED_ROW} == {**MIXED_ROW, "since": 1709294400.0}
    assert inputs["city"].dtype == object
    assert inputs["since"].dtype == np.float64


@pytest.mark.parametrize(
    "row",
    [
        {**MIXED_ROW, "age": None, "city": None},
        {key: value for key, value in MIXED_ROW.items() if key not in ("age", "city")},
        [None, 3, None, "2024-03-01T12:00:00Z", True],
    ],
)
def test_nullable_columns_may_be_null_or_absent(row: Any) -> None:
    inputs = decode({"instances": [row, MIXED_ROW]}, MIXED).inputs
    assert np.isnan(inputs["age"][0])
    assert inputs["city"][0] == ""
    assert inputs["age"][1] == 41.5


def test_nullable_columns_may_be_absent_from_columns_and_split() -> None:
    columns = {name: [value] for name, value in MIXED_ROW.items() if name != "age"}
    assert np.isnan(decode({"inputs": columns}, MIXED).inputs["age"][0])
    split = {"columns": list(columns), "data": [[values[0] for values in columns.values()]]}
    assert np.isnan(decode({"dataframe_split": split}, MIXED).inputs["age"][0])


def test_nullable_integers_become_floats_because_integers_have_no_nan() -> None:
    signature = ModelSignature((TensorSpec("n", "int64", nullable=True),), OUTPUTS)
    array = decode({"instances": [[1], [None]]}, signature).inputs["n"]
    np.testing.assert_array_equal(array, [1.0, np.nan])


def test_whole_numbers_beyond_float64_are_kept() -> None:
    signature = ModelSignature((TensorSpec("id", "int64"), TensorSpec("key", "uint64")), OUTPUTS)
    inputs = decode({"instances": [[2**53 + 1, 2**64 - 1]]}, signature).inputs
    assert inputs["id"].tolist() == [2**53 + 1]
    assert inputs["key"].tolist() == [2**64 - 1]


def test_several_tensors_in_one_row() -> None:
    request = decode({"instances": [{"image": [[1, 2], [3, 255]], "weight": 0.5}, [[[0, 0], [0, 0]], 1]]}, IMAGES)
    assert request.inputs["image"].shape == (2, 2, 2)
    assert request.inputs["image"].dtype == np.uint8
    np.testing.assert_array_equal(request.inputs["weight"], [0.5, 1.0])


@pytest.mark.parametrize("body", [{"instances": []}, {"inputs": {"a": [], "b": []}}, {"dataframe_records": []}])
def test_no_rows_are_no_rows(body: Any) -> None:
    request = decode(body, NUMBERS)
    assert request.n_rows == 0
    assert request.inputs["a"].shape == (0,)


def test_method_chooses_the_outputs() -> None:
    body = {"instances": [[1, 2]], "params": {"method": "predict_proba"}}
    assert decode(body, NUMBERS).outputs == ("predict", "predict_proba")
    assert decode({**body, "params": {}}, NUMBERS).outputs == ("predict",)
    assert decode({**body, "params": None}, NUMBERS).outputs == ("predict",)
    assert fields_of({**body, "params": {"method": "transform"}}, NUMBERS) == {"params.method": "unknown_method"}
    assert fields_of({**body, "params": {"method": 1}}, NUMBERS) == {"params.method": "wrong_type"}
    assert fields_of({**body, "params": {"mode": "x"}}, NUMBERS) == {"params.mode": "unknown_field"}


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"instances": [[1, 2], [1, "x"]]}, "instances[1][1]", "wrong_type"),
        ({"instances": [[1, True]]}, "instances[0][1]", "wrong_type"),
        ({"instances": [[1, "2"]]}, "instances[0][1]", "wrong_type"),
        ({"instances": [[1, None]]}, "instances[0][1]", "null_not_allowed"),
        ({"instances": [[1, 2], [1]]}, "instances[1]", "wrong_width"),
        ({"instances": [[1, 2, 3]]}, "instances[0]", "wrong_width"),
        ({"instances": [{"a": 1, "b": 2, "c": 3}]}, "instances[0].c", "unknown_column"),
        ({"instances": [{"a": 1}]}, "instances[0].b", "missing_column"),
        ({"instances": [1]}, "instances[0]", "wrong_type"),
        ({"instances": {"a": [1]}}, "instances", "wrong_type"),
        ({"instances": [[1, 10**400]]}, "instances[0][1]", "out_of_range"),
        ({"inputs": {"a": [1]}}, "inputs.b", "missing_column"),
        ({"inputs": {"a": [1], "b": [1, 2]}}, "inputs.b", "ragged"),
        ({"inputs": {"a": [1], "b": ["x"]}}, "inputs.b[0]", "wrong_type"),
        ({"inputs": {"a": [1], "b": 2}}, "inputs.b", "wrong_type"),
        ({"inputs": {"a": [1], "b": [2], "c": [3]}}, "inputs.c", "unknown_column"),
        ({"inputs": {}}, "inputs.a", "missing_column"),
        ({"dataframe_split": {"columns": ["a", "z"], "data": []}}, "dataframe_split.columns[1]", "unknown_column"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "dataframe_split.columns[1]", "duplicate_column"),
        ({"dataframe_split": {"columns": ["a"], "data": []}}, "dataframe_split.columns", "missing_column"),
        ({"dataframe_split": {"columns": ["a", "b"]}}, "dataframe_split.data", "wrong_type"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}, "dataframe_split.data[0]", "wrong_width"),
        ({"dataframe_split": {"columns": ["b", "a"], "data": [["x", 1]]}}, "dataframe_split.data[0][0]", "wrong_type"),
        ({"dataframe_records": [[1, 2]]}, "dataframe_records[0]", "wrong_type"),
        ({"rows": []}, "rows", "unknown_field"),
        ({"instances": [], "inputs": []}, "body", "wrong_form"),
        ({}, "body", "wrong_form"),
        ([[1, 2]], "body", "wrong_type"),
    ],
)
def test_what_does_not_fit_is_named(body: Any, field: str, code: str) -> None:
    assert fields_of(body, NUMBERS).get(field) == code


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        ({"visits": 2**31}, "visits", "out_of_range"),
        ({"visits": 1.5}, "visits", "wrong_type"),
        ({"visits": True}, "visits", "wrong_type"),
        ({"city": 5}, "city", "wrong_type"),
        ({"since": "yesterday"}, "since", "wrong_value"),
        ({"since": 1709294400}, "since", "wrong_type"),
        ({"since": None}, "since", "null_not_allowed"),
        ({"member": 1}, "member", "wrong_type"),
        ({"member": "true"}, "member", "wrong_type"),
    ],
)
def test_types_are_not_guessed(row: dict[str, Any], field: str, code: str) -> None:
    assert fields_of({"instances": [{**MIXED_ROW, **row}]}, MIXED) == {f"instances[0].{field}": code}


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"instances": [[1, 2]]}, "instances[0]", "wrong_shape"),
        ({"instances": [[1, 2, "x"]]}, "instances[0][2]", "wrong_type"),
        ({"instances": [[1, 2, 1e39]]}, "instances[0][2]", "out_of_range"),
        ({"instances": [{"x": [1, 2]}]}, "instances[0].x", "wrong_shape"),
        ({"dataframe_split": {"columns": ["p", "q"], "data": [[1, 2]]}}, "dataframe_split.columns", "wrong_width"),
    ],
)
def test_a_matrix_is_checked_as_well(body: Any, field: str, code: str) -> None:
    assert fields_of(body, MATRIX) == {field: code}


def test_ragged_free_dimensions_are_refused() -> None:
    signature = ModelSignature((TensorSpec("x", "float64", (-1, -1)),), OUTPUTS)
    assert decode({"instances": [[1, 2], [3, 4]]}, signature).inputs["x"].shape == (2, 2)
    assert fields_of({"instances": [[1, 2], [3]]}, signature) == {"instances[0]": "wrong_shape"}


def test_only_the_first_errors_are_listed() -> None:
    assert len(fields_of({"instances": [["x", "y"]] * 500}, NUMBERS)) == 20


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"instances": [[1, 2]]} trailing',
        b'{"instances": [[1, NaN]]}',
        b'{"instances": [[1, Infinity]]}',
        b'{"instances": [[1, -Infinity]]}',
        b'{"instances": [[1, 1e999]]}',
        b'{"instances": [[1, 2,]]}',
        b"\xff\xfe",
        b'{"instances": [[1, "\xff"]]}',
        b'\xef\xbb\xbf{"instances": [[1, 2]]}',
        b'{"instances": [[1, 2]], "instances": [[3, 4]]}',
        b'{"instances": [{"a": 1, "b": 2, "a": 3}]}',
        b'{"instances": [[1, 2]], "params": {"method": "predict", "method": "predict_proba"}}',
        b'{"instances": ' + b"[" * 100_000,
        b'{"instances": ' + b"[" * 33 + b"]" * 33 + b"}",
        b'{"instances": [[1, 1' + b"0" * 5000 + b"]]}",
    ],
)
def test_bytes_that_are_not_strict_json_are_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(body, NUMBERS)


@pytest.mark.parametrize("text", [rb"a\u0000b", rb"\ud800", rb"\udc00x", b"a\x00b"])
def test_texts_that_no_store_takes_are_malformed(text: bytes) -> None:
    signature = ModelSignature((TensorSpec("t", "string"),), OUTPUTS)
    with pytest.raises(Malformed):
        decode(b'{"instances": [["' + text + b'"]]}', signature)


def test_duplicate_keys_are_found_where_an_absent_column_would_hide_them() -> None:
    body = b'{"instances": [{"visits": 1, "visits": 2, "since": "2024-01-01", "member": true, "age": 1}]}'
    with pytest.raises(Malformed, match="visits"):
        decode(body, MIXED)


def test_texts_with_escapes_are_read() -> None:
    signature = ModelSignature((TensorSpec("t", "string"),), OUTPUTS)
    for text in ('say "hi"', "back\\slash", "[[[[", "ü\u2028🎉", "]" * 50, "[" * 50):
        assert decode({"instances": [[text]]}, signature).inputs["t"][0] == text


def test_names_with_quotation_marks_are_read() -> None:
    signature = ModelSignature((TensorSpec('the "a"', "float64"), TensorSpec("b", "float64")), OUTPUTS)
    assert decode({"instances": [{"b": 2, 'the "a"': 1}]}, signature).inputs['the "a"'][0] == 1


def test_thousands_of_columns_are_read() -> None:
    names = [f"column {number}" for number in range(3000)]
    signature = ModelSignature(tuple(TensorSpec(name, "float64") for name in names), OUTPUTS)
    request = decode({"instances": [dict.fromkeys(names, 1.5)]}, signature)
    assert request.inputs["column 2999"][0] == 1.5


def test_more_values_than_memory_should_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpool.core.codecs.json.MAX_VALUES", 10)
    with pytest.raises(TooLarge, match="10 values"):
        decode({"instances": [[1, 2]] * 20}, NUMBERS)


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        (NUMBERS, {"instances": [[1, 2.5]], "params": {"method": "predict_proba"}}),
        (NUMBERS, {"instances": [{"b": 1, "a": 2}]}),
        (NUMBERS, {"inputs": {"b": [1], "a": [2]}}),
        (NUMBERS, {"dataframe_split": {"columns": ["a", "b"], "index": [0], "data": [[1, 2]]}}),
        (MATRIX, {"instances": [[1, 2, 3]]}),
        (MATRIX, {"inputs": {"x": [[1, 2, 3]]}}),
        (MIXED, {"instances": [MIXED_ROW]}),
        (MIXED, {"instances": [{**MIXED_ROW, "age": None}]}),
        (MIXED, {"instances": [{key: value for key, value in MIXED_ROW.items() if key != "city"}]}),
    ],
)
def test_ordinary_bodies_take_the_fast_way(signature: ModelSignature, body: Any) -> None:
    assert FastReader(signature).read(json.dumps(body).encode()) is not None


def encode(outputs: dict[str, np.ndarray], *, model: str = "churn") -> Any:
    signature = ModelSignature(NUMBERS.inputs, OUTPUTS, classes=("no", "yes"))
    return json.loads(JsonCodec().encoder(signature, model=model, version=3)(outputs))


def test_answers() -> None:
    labels = np.array(["yes", "no"], object)
    assert encode({"predict": labels}) == {"predictions": ["yes", "no"], "model": "churn", "version": 3}
    assert encode({"predict": np.array([1.5, np.nan])})["predictions"] == [1.5, None]
    assert encode({"predict": np.empty((0,))}, model='a"b') == {"predictions": [], "model": 'a"b', "version": 3}


def test_answers_with_probabilities() -> None:
    probabilities = np.array([[0.25, 0.75], [np.nan, 1.0]])
    answer = encode({"predict": np.array(["yes", "no"], object), "predict_proba": probabilities})
    assert answer["predictions"] == ["yes", "no"]
    assert answer["probabilities"] == [[0.25, 0.75], [None, 1.0]]
    assert answer["classes"] == ["no", "yes"]


def test_answers_with_other_outputs() -> None:
    answer = encode({"predict": np.array([True]), "embed": np.zeros((1, 2), np.float32)})
    assert answer == {"predictions": [True], "model": "churn", "version": 3, "outputs": {"embed": [[0.0, 0.0]]}}
