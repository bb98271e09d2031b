"""Whatever the bytes are, a codec answers with arrays that fit the signature or with an error of our tree."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelpool.core.codecs.csv import CsvCodec
from modelpool.core.codecs.json import JsonCodec
from modelpool.core.codecs.json_exact import read_exactly
from modelpool.core.codecs.json_fast import FastReader
from modelpool.core.codecs.values import parse_datetime
from modelpool.core.errors import ModelpoolError
from modelpool.core.signature import DTYPES, ModelSignature, TensorSpec

OUTPUTS = (TensorSpec("predict", "float64"),)
names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=6)
specs = st.builds(
    TensorSpec,
    name=names,
    dtype=st.sampled_from(DTYPES),
    shape=st.sampled_from([(-1,), (-1,), (-1,), (-1, 2), (-1, 1, 2), (-1, -1)]),
    nullable=st.booleans(),
)
signatures = st.lists(specs, min_size=1, max_size=4, unique_by=lambda spec: spec.name).map(
    lambda inputs: ModelSignature(tuple(inputs), OUTPUTS)
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("2024-02-03T04:05:06")
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))


def value_of(spec: TensorSpec) -> st.SearchStrategy[Any]:
    """A value on the wire that fits the column."""
    dtype = np.dtype("O") if spec.dtype in ("string", "datetime") else np.dtype(spec.dtype)
    if spec.dtype == "string":
        value: st.SearchStrategy[Any] = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5)
    elif spec.dtype == "datetime":
        value = st.datetimes().map(lambda moment: moment.isoformat())
    elif dtype.kind == "b":
        value = st.booleans()
    elif dtype.kind == "f":
        width = dtype.itemsize * 8
        value = st.floats(allow_nan=False, allow_infinity=False, width=width)  # type: ignore[arg-type]
    else:
        value = st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    return st.none() | value if spec.nullable else value


@st.composite
def tables(draw: st.DrawFn) -> tuple[ModelSignature, list[dict[str, Any]]]:
    columns = draw(
        st.lists(specs.filter(lambda spec: spec.is_column), min_size=1, max_size=4, unique_by=lambda s: s.name)
    )
    row = st.fixed_dictionaries({spec.name: value_of(spec) for spec in columns})
    return ModelSignature(tuple(columns), OUTPUTS), draw(st.lists(row, max_size=3))


def expected(spec: TensorSpec, value: Any) -> Any:
    if value is None:
        return "" if spec.dtype == "string" else math.nan
    return parse_datetime(value) if spec.dtype == "datetime" else value


def assert_holds(request: Any, signature: ModelSignature, rows: list[dict[str, Any]]) -> None:
    assert request.n_rows == len(rows)
    for spec in signature.inputs:
        array = request.inputs[spec.name]
        wanted = np.array([expected(spec, row[spec.name]) for row in rows], array.dtype)
        np.testing.assert_array_equal(array, wanted)
        assert array.dtype in (spec.numpy_dtype, np.float64)
        if array.dtype == np.float64 and spec.dtype in ("int64", "uint64") and not spec.nullable:
            assert all(abs(row[spec.name]) <= 2**53 for row in rows)


@pytest.mark.slow
@given(tables())
@settings(max_examples=150, deadline=None)
def test_every_json_form_gives_back_the_table(drawn: tuple[ModelSignature, list[dict[str, Any]]]) -> None:
    signature, rows = drawn
    columns = [spec.name for spec in signature.inputs]
    decode = JsonCodec().decoder(signature)
    for body in (
        {"instances": rows},
        {"instances": [[row[name] for name in columns] for row in rows]},
        {"dataframe_records": [{name: row[name] for name in reversed(columns)} for row in rows]},
        {"inputs": {name: [row[name] for row in rows] for name in columns}},
        {
            "dataframe_split": {
                "columns": columns[::-1],
                "data": [[row[name] for name in columns[::-1]] for row in rows],
            }
        },
    ):
        for ensure_ascii in (True, False):
            raw = json.dumps(body, ensure_ascii=ensure_ascii).encode()
            assert_holds(decode(raw), signature, rows)
            assert_holds(read_exactly(raw, signature), signature, rows)


@given(tables())
@settings(max_examples=100, deadline=None)
def test_csv_gives_back_the_table(drawn: tuple[ModelSignature, list[dict[str, Any]]]) -> None:
    signature, rows = drawn
    missing = [spec for spec in signature.inputs if spec.dtype == "string" and not spec.nullable]
    rows = [row for row in rows if not any(row[spec.name] == "" for spec in missing)]
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, [spec.name for spec in signature.inputs], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    assert_holds(CsvCodec().decoder(signature)(buffer.getvalue().encode()), signature, rows)


@given(
    signatures, st.sampled_from(["instances", "inputs", "dataframe_split", "dataframe_records", "params"]), trees, trees
)
@settings(max_examples=300, deadline=None)
def test_any_tree_gives_arrays_or_an_error_of_ours(signature: ModelSignature, form: str, tree: Any, extra: Any) -> None:
    decode = JsonCodec().decoder(signature)
    for body in ({form: tree}, {form: tree, "params": extra}, {form: {"columns": tree, "data": extra}}, tree):
        raw = json.dumps(body).encode()
        try:
            request = decode(raw)
        except ModelpoolError as error:
            str(error).encode()
            continue
        for spec in signature.inputs:
            assert len(request.inputs[spec.name]) == request.n_rows


@pytest.mark.slow
@given(
    signatures, st.binary(max_size=80) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_an_error_of_ours(signature: ModelSignature, raw: bytes) -> None:
    for decode in (JsonCodec().decoder(signature), CsvCodec().decoder(signature)):
        try:
            decode(raw)
        except ModelpoolError as error:
            str(error).encode()


@pytest.mark.slow
@given(
    tables(),
    st.integers(0, 10**6),
    st.sampled_from([b'"', b",", b"\\", b"{", b"]", b"e9", b"\xff", b"\x00", b" ", b"null"]),
)
@settings(max_examples=300, deadline=None)
def test_what_the_fast_reader_takes_the_exact_one_takes_alike(
    drawn: tuple[ModelSignature, list[dict[str, Any]]], at: int, noise: bytes
) -> None:
    signature, rows = drawn
    whole = json.dumps({"instances": rows, "params": {"method": "predict"}}).encode()
    cut = at % (len(whole) + 1)
    raw = whole[:cut] + noise + whole[cut:]
    try:
        fast = FastReader(signature).read(raw)
    except (TypeError, ValueError):
        return
    if fast is not None:
        exact = read_exactly(raw, signature)
        for name, array in exact.inputs.items():
            np.testing.assert_array_equal(fast.inputs[name], array)
