from __future__ import annotations

import json

import numpy as np
import pytest

from modelpool.core.codecs.base import InferenceRequest
from modelpool.core.codecs.csv import CsvCodec
from modelpool.core.codecs.registry import CODECS, find_codec
from modelpool.core.errors import Malformed, SignatureMismatch, TooLarge, UnsupportedMediaType
from modelpool.core.signature import ModelSignature, TensorSpec

OUTPUTS = (TensorSpec("predict", "float64"),)
NUMBERS = ModelSignature((TensorSpec("a", "float64"), TensorSpec("b", "float64")), OUTPUTS)
MATRIX = ModelSignature((TensorSpec("x", "float32", (-1, 2)),), OUTPUTS)
MIXED = ModelSignature(
    (
        TensorSpec("age", "float64", nullable=True),
        TensorSpec("visits", "int32"),
        TensorSpec("city", "string", nullable=True),
        TensorSpec("since", "datetime", nullable=True),
        TensorSpec("member", "bool"),
    ),
    OUTPUTS,
)


def decode(text: str | bytes, signature: ModelSignature) -> InferenceRequest:
    return CsvCodec().decoder(signature)(text if isinstance(text, bytes) else text.encode())


def fields_of(text: str, signature: ModelSignature) -> dict[str, str]:
    with pytest.raises(SignatureMismatch) as caught:
        decode(text, signature)
    return {error.field: error.code for error in caught.value.errors}


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,2.5\n3,4\n", "b,a\r\n2.5,1\r\n4,3\r\n", '\ufeff"a","b"\n1,2.5\n"3",4', "a,b\n\n1,2.5\n\n3, 4e0\n"],
)
def test_columns_are_read_in_any_order(text: str) -> None:
    request = decode(text, NUMBERS)
    assert request.n_rows == 2
    np.testing.assert_array_equal(request.inputs["a"], [1, 3])
    np.testing.assert_array_equal(request.inputs["b"], [2.5, 4])


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_what_else_separates_cells_is_found_by_the_models_columns(delimiter: str) -> None:
    header, row = ["city", "visits", "member"], ['"Graz, 8010"', "3", "true"]
    inputs = decode(f"{delimiter.join(header)}\n{delimiter.join(row)}\n", MIXED).inputs
    assert (list(inputs["city"]), list(inputs["visits"]), list(inputs["member"])) == (["Graz, 8010"], [3], [True])
    np.testing.assert_array_equal(decode(f"1{delimiter}2\n3{delimiter}4\n", MATRIX).inputs["x"], [[1, 2], [3, 4]])


def test_a_comma_wins_where_a_name_holds_another_separator() -> None:
    odd = ModelSignature((TensorSpec("a;b", "float64"), TensorSpec("c", "float64")), OUTPUTS)
    np.testing.assert_array_equal(decode("a;b,c\n1,2\n", odd).inputs["a;b"], [1])


def test_an_unknown_column_is_shown_in_its_own_letters() -> None:
    with pytest.raises(SignatureMismatch, match="'Städte\\\\x07' is not an input"):
        decode("a,b,Städte\x07\n1,2,3\n", NUMBERS)


def test_empty_cells_and_absent_columns_are_missing_values() -> None:
    inputs = decode('visits,city,since,member\n3,"Graz, Austria",2024-03-01,TRUE\n4,,,0\n', MIXED).inputs
    assert np.isnan(inputs["age"]).all()
    assert list(inputs["city"]) == ["Graz, Austria", ""]
    assert inputs["since"][0] == 1709251200.0
    assert np.isnan(inputs["since"][1])
    assert list(inputs["member"]) == [True, False]


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "p,q\n1,2\n3,4\n", "p,2\n1,2\n3,4\n"])
def test_a_matrix_needs_no_header(text: str) -> None:
    np.testing.assert_array_equal(decode(text, MATRIX).inputs["x"], np.array([[1, 2], [3, 4]], np.float32))


@pytest.mark.parametrize(
    ("text", "field", "code"),
    [
        ("", "body", "missing_header"),
        ("a\n1\n", "header", "missing_column"),
        ("a,b,c\n1,2,3\n", "header[2]", "unknown_column"),
        ("a,b,a\n1,2,3\n", "header[2]", "duplicate_column"),
        ("a,b\n1,2\n1\n", "rows[1]", "wrong_width"),
        ("a,b\n1,2,3\n", "rows[0]", "wrong_width"),
        ("a,b\n1,2\n1,x\n", "rows[1].b", "wrong_type"),
        ("a,b\n1,1_000\n", "rows[0].b", "wrong_type"),
        ("a,b\n1,\uff11\n", "rows[0].b", "wrong_type"),
        ("a,b\n1,nan\n", "rows[0].b", "wrong_type"),
        ("a,b\n1,1e999\n", "rows[0].b", "wrong_type"),
        ("a,b\n1,\n", "rows[0].b", "null_not_allowed"),
    ],
)
def test_what_does_not_fit_is_named(text: str, field: str, code: str) -> None:
    assert fields_of(text, NUMBERS).get(field) == code


def test_integers_and_booleans_are_checked() -> None:
    fields = fields_of("visits,member\n1.5,maybe\n99999999999,true\n", MIXED)
    assert fields == {"rows[0].visits": "wrong_type", "rows[1].visits": "out_of_range"}
    assert fields_of("visits,member\n1,maybe\n", MIXED) == {"rows[0].member": "wrong_type"}


def test_a_matrix_of_another_width_is_refused() -> None:
    assert fields_of("1,2,3\n", MATRIX) == {"rows[0]": "wrong_width"}
    assert fields_of("p,q,r\n1,2\n", MATRIX) == {"header": "wrong_width"}


@pytest.mark.parametrize("body", [b"a,b\n1,\xff\n", b'a,b\n1,"2\n', b'a,b\n1,"2"x\n', b"a,b\n1,\x00\n"])
def test_bytes_that_are_not_csv_are_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(body, NUMBERS)


@pytest.mark.parametrize("cell", ["inf", "-inf", "Infinity", "nan", "1e400", "-1e999"])
def test_no_cell_is_infinite_or_no_number(cell: str) -> None:
    """An estimator refuses them, a compiled model would answer: so neither gets them."""
    assert fields_of(f"a,b\n1,2\n3,{cell}\n", NUMBERS) == {"rows[1].b": "wrong_type"}
    assert fields_of(f"1,2\n3,{cell}\n", MATRIX) == {"rows[1][1]": "wrong_type"}
    assert fields_of(f"visits,member,age\n1,true,{cell}\n", MIXED) == {"rows[0].age": "wrong_type"}
    assert fields_of(f"visits,member\n{cell},true\n", MIXED) == {"rows[0].visits": "wrong_type"}


def test_numbers_beyond_float32_are_taken_where_the_signature_has_float64() -> None:
    assert decode("a,b\n1e300,-1e39\n", NUMBERS).inputs["a"].tolist() == [1e300]
    assert fields_of("1,1e39\n", MATRIX) == {"rows[0][1]": "out_of_range"}


def test_tensors_have_no_csv() -> None:
    signature = ModelSignature((TensorSpec("image", "uint8", (-1, 2, 2)),), OUTPUTS)
    with pytest.raises(UnsupportedMediaType):
        decode("1,2\n", signature)


def test_more_values_than_memory_should_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpool.core.codecs.csv.MAX_VALUES", 10)
    with pytest.raises(TooLarge):
        decode("a,b\n" + "1,2\n" * 20, NUMBERS)


def test_the_answer_is_json() -> None:
    encode = CsvCodec().encoder(NUMBERS, model="m", version=1)
    assert json.loads(encode({"predict": np.array([1.0])})) == {"predictions": [1.0], "model": "m", "version": 1}


@pytest.mark.parametrize("header", ["text/csv", "Text/CSV; charset=UTF-8", 'text/csv;header=present;charset="utf-8"'])
def test_codecs_are_found_by_content_type(header: str) -> None:
    assert find_codec(header) is CODECS.get("text/csv")


@pytest.mark.parametrize(
    "header", ["", "text/plain", "application/json; charset=latin-1", "application/vnd.apache.parquet"]
)
def test_other_content_types_are_refused_with_advice(header: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        find_codec(header)
