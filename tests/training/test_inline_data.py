"""Rows inside a request: what is wrong is named by row and cell."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelpool.core.errors import Invalid
from modelpool.training.inline_data import encode_inline


def encode(columns: Any, rows: Any, max_bytes: int = 10_000) -> bytes:
    return encode_inline(columns=columns, rows=rows, max_bytes=max_bytes)


def test_good_rows_become_json() -> None:
    data = encode(["a", "ü"], [[1, "x"], [2.5, None], [True, "y\u2028"]])
    assert json.loads(data) == {"columns": ["a", "ü"], "rows": [[1, "x"], [2.5, None], [True, "y\u2028"]]}


@pytest.mark.parametrize(
    ("columns", "rows", "field", "message"),
    [
        ([], [[1]], "data.columns", "at least one"),
        ("ab", [[1]], "data.columns", "list"),
        (["a", "a"], [[1, 2]], "data.columns[1]", "twice"),
        (["a", " "], [[1, 2]], "data.columns[1]", "1 to 200"),
        (["a", 5], [[1, 2]], "data.columns[1]", "5"),
        (["a\x00"], [[1]], "data.columns[0]", "name"),
        (["a"], [], "data.rows", "at least one row"),
        (["a"], {"0": [1]}, "data.rows", "list"),
        (["a", "b"], [[1, 2], [3]], "data.rows[1]", "1 cells but there are 2 columns"),
        (["a"], [[1], {"a": 2}], "data.rows[1]", "list of cells"),
        (["a", "b"], [[1, 2], [3, [4]]], "data.rows[1][1]", "not a list"),
        (["a"], [[{"b": 1}]], "data.rows[0][0]", "not an object"),
        (["a"], [["\ud800"]], "data.rows", "cannot be kept"),
    ],
)
def test_wrong_rows_are_named(columns: Any, rows: Any, field: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        encode(columns, rows)
    assert [item.field for item in caught.value.errors] == [field]
    assert message in str(caught.value)


def test_too_many_bytes_are_refused_with_advice() -> None:
    with pytest.raises(Invalid, match="CSV or Parquet"):
        encode(["a"], [["x" * 100]], max_bytes=100)
