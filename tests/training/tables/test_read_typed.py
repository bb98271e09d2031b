"""Parquet, JSON lines and inline JSON."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables import Table, TableFormat, read_table


def read_text(tmp_path: Path, text: str, *, format: TableFormat) -> Table:
    path = tmp_path / "data"
    path.write_text(text, encoding="utf-8")
    return read_table(path, format=format)


def read_parquet(tmp_path: Path, columns: dict[str, pa.Array]) -> Table:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table(columns), path)
    return read_table(path, format="parquet")


def read_inline(tmp_path: Path, columns: list[str], rows: list[list[Any]]) -> Table:
    return read_text(tmp_path, json.dumps({"columns": columns, "rows": rows}), format="json")


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    day = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)
    table = read_parquet(
        tmp_path,
        {
            "small": pa.array([1, 2], pa.int8()),
            "gaps": pa.array([1, None], pa.int32()),
            "half": pa.array([1.5, float("nan")], pa.float32()),
            "money": pa.array([decimal.Decimal("1.25"), decimal.Decimal("-3.50")]),
            "ok": pa.array([True, False]),
            "city": pa.array(["Paris", None]).dictionary_encode(),
            "digits": pa.array(["01", "2"]),
            "day": pa.array([day.date(), None]),
            "zoned": pa.array([day, day], pa.timestamp("ns", tz="Europe/Paris")),
            "naive": pa.array([datetime.datetime(2024, 1, 1)] * 2, pa.timestamp("ms")),  # noqa: DTZ001
        },
    )
    frame = table.frame
    assert frame["small"].dtype == np.int64
    assert frame["gaps"].tolist()[0] == 1.0
    assert np.isnan(frame["gaps"][1])
    assert np.isnan(frame["half"][1])
    assert frame["money"].tolist() == [1.25, -3.5]
    assert frame["ok"].dtype == np.bool_
    assert frame["city"].tolist() == ["Paris", ""]
    assert frame["digits"].tolist() == ["01", "2"]
    assert frame["day"][0] == 1704067200.0
    assert np.isnan(frame["day"][1])
    assert frame["zoned"].tolist() == [day.timestamp()] * 2
    assert frame["naive"].tolist() == [1704067200.0] * 2
    datetimes = {spec.name for spec in table.columns if spec.dtype == "datetime"}
    assert datetimes == {"day", "zoned", "naive"}


def test_parquet_of_unsigned_numbers_beyond_64_bits_is_text(tmp_path: Path) -> None:
    assert read_parquet(tmp_path, {"n": pa.array([2**63, 1], pa.uint64())}).frame["n"].tolist() == [str(2**63), "1"]


def test_parquet_columns_of_lists_are_left_out_and_named(tmp_path: Path) -> None:
    table = read_parquet(tmp_path, {"a": pa.array([1, 2]), "tags": pa.array([["x"], []])})
    assert list(table.frame.columns) == ["a"]
    assert any("'tags'" in note for note in table.notes)


def test_parquet_of_truth_values_with_gaps_is_text(tmp_path: Path) -> None:
    assert read_parquet(tmp_path, {"ok": pa.array([True, None, False])}).frame["ok"].tolist() == ["true", "", "false"]


def test_what_is_not_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match="not a Parquet file"):
        read_text(tmp_path, "a,b\n1,2\n", format="parquet")


def test_cut_off_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadTrainingData, match="not a Parquet file, or is damaged"):
        read_table(path, format="parquet")


def test_json_lines_with_keys_that_come_and_go(tmp_path: Path) -> None:
    lines = ['{"a": 1, "b": "x"}', "", '{"b": "", "c": 2.5}', '{"a": null, "c": NaN, "d": true}']
    frame = read_text(tmp_path, "\n".join(lines), format="jsonl").frame
    assert list(frame.columns) == ["a", "b", "c", "d"]
    assert frame["a"].isna().tolist() == [False, True, True]
    assert frame["b"].tolist() == ["x", "", ""]
    assert frame["c"].isna().tolist() == [True, False, True]
    assert frame["d"].tolist() == ["", "", "true"]


def test_json_text_is_never_a_number_but_may_be_a_date(tmp_path: Path) -> None:
    table = read_inline(tmp_path, ["digits", "day"], [["1", "2024-01-01"], ["2", "2024-01-02"]])
    assert [spec.dtype for spec in table.columns] == ["string", "datetime"]


def test_json_numbers(tmp_path: Path) -> None:
    frame = read_inline(tmp_path, ["n", "x", "big", "mixed"], [[1, 1, 2**63, 1], [2, 2.5, 1, "a"]]).frame
    assert frame["n"].dtype == np.int64
    assert frame["x"].tolist() == [1.0, 2.5]
    assert frame["big"].tolist() == [str(2**63), "1"]
    assert frame["mixed"].tolist() == ["1", "a"]


@pytest.mark.parametrize(
    ("format", "text", "message"),
    [
        ("jsonl", '{"a": 1}\n{"a": \n', "Line 2 is not JSON"),
        ("jsonl", '{"a": 1}\n[1]\n', "Line 2 is not a JSON object"),
        ("jsonl", '{"a": [1]}\n', "Column 'a' holds lists or objects"),
        ("jsonl", '{"": 1}\n', "has no name"),
        ("jsonl", "{}\n", "empty"),
        ("json", '{"columns": ["a"]}', "rows"),
        ("json", '{"columns": ["a", "a"], "rows": [[1, 2]]}', "more than once"),
        ("json", '{"columns": ["a", "b"], "rows": [[1, 2], [3]]}', r"rows\[1\] has 1 values, but there are 2 columns"),
        ("json", '{"columns": ["a"], "rows": []}', "no rows"),
        ("json", '{"columns": ["a"], "rows": [[null]]}', "Every cell"),
        ("json", "[1, 2]", "inline data is not"),
    ],
)
def test_what_is_no_table_is_refused_with_advice(tmp_path: Path, format: TableFormat, text: str, message: str) -> None:
    with pytest.raises(BadTrainingData, match=message):
        read_text(tmp_path, text, format=format)
