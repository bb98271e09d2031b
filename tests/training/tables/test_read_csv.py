"""CSV files as people send them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables import Table, read_table


def read(tmp_path: Path, content: str | bytes, *, target: str | None = None) -> Table:
    path = tmp_path / "data"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, format="csv", target=target)


def dtypes(table: Table) -> dict[str, str]:
    return {spec.name: spec.dtype for spec in table.columns}


def test_types_follow_from_all_values(tmp_path: Path) -> None:
    table = read(
        tmp_path, "n,x,ok,day,city\n1,1.5,true,2024-01-01,Paris\n2,-2e3,False,2024-01-02T01:00:00+01:00,Rome\n"
    )
    assert dtypes(table) == {"n": "float64", "x": "float64", "ok": "bool", "day": "datetime", "city": "string"}
    assert table.frame["n"].dtype == np.int64
    assert table.frame["x"].tolist() == [1.5, -2000.0]
    assert table.frame["ok"].tolist() == [True, False]
    assert table.frame["day"].tolist() == [1704067200.0, 1704153600.0]
    assert table.frame["city"].dtype == object
    assert not any(spec.nullable for spec in table.columns)


@pytest.mark.parametrize("marker", ["", " ", "NA", "N/A", "NaN", "nan", "null", "None", "#N/A", "<NA>"])
def test_markers_are_missing(tmp_path: Path, marker: str) -> None:
    table = read(tmp_path, f"n,x,day,city\n1,1.5,2024-01-01,Paris\n{marker},{marker},{marker},{marker}\n")
    assert np.isnan(table.frame["n"][1])
    assert np.isnan(table.frame["x"][1])
    assert np.isnan(table.frame["day"][1])
    assert table.frame["city"][1] == ""
    assert all(spec.nullable for spec in table.columns)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["name", "note", "n"], ["a", '"x, y; z"', "1"], ["b", '"two\nlines"', "2"]]
    table = read(tmp_path, "\n".join(delimiter.join(row) for row in rows))
    assert table.frame["note"].tolist() == ["x, y; z", "two\nlines"]
    assert table.frame["n"].tolist() == [1, 2]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings_and_blank_lines(tmp_path: Path, ending: str) -> None:
    table = read(tmp_path, ending.join(["", "a,b", "1,2", "", "3,4", ""]))
    assert table.frame.to_numpy().tolist() == [[1, 2], [3, 4]]


def test_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert list(read(tmp_path, "\ufeffäge,b\n1,2\n").frame.columns) == ["äge", "b"]


def test_one_column(tmp_path: Path) -> None:
    assert read(tmp_path, "a\n1\n2\n").frame["a"].tolist() == [1, 2]


def test_packed_files_are_read(tmp_path: Path) -> None:
    content = b"a,b\n1,2\n"
    assert read(tmp_path, gzip.compress(content)).frame["b"].tolist() == [2]
    assert read(tmp_path, pa.compress(content, codec="zstd", asbytes=True)).frame["b"].tolist() == [2]


def test_cut_off_packed_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match="damaged or cut off"):
        read(tmp_path, gzip.compress(b"a,b\n" + b"1,2\n" * 1000)[:-20])


def test_identifiers_stay_text(tmp_path: Path) -> None:
    table = read(tmp_path, "zip,long,mixed\n01234,12345678901234567890,1\n99999,1,a\n")
    assert set(dtypes(table).values()) == {"string"}
    assert table.frame["zip"].tolist() == ["01234", "99999"]
    assert table.frame["long"][0] == "12345678901234567890"


@pytest.mark.parametrize("value", ["9223372036854775807", "-9223372036854775808"])
def test_whole_numbers_of_64_bits_are_exact(tmp_path: Path, value: str) -> None:
    assert read(tmp_path, f"n\n{value}\n").frame["n"][0] == int(value)


def test_whole_numbers_beyond_64_bits_are_text(tmp_path: Path) -> None:
    assert read(tmp_path, "n\n9223372036854775808\n").frame["n"].tolist() == ["9223372036854775808"]


@pytest.mark.parametrize("value", ["2024-13-01", "2024-02-30", "01.02.2024", "2024/01/02", "12:30"])
def test_what_is_no_iso_date_is_text(tmp_path: Path, value: str) -> None:
    assert dtypes(read(tmp_path, f"day\n{value}\n")) == {"day": "string"}


def test_far_dates_are_dates(tmp_path: Path) -> None:
    days = read(tmp_path, "day\n9999-12-31\n1700-01-01\n").frame["day"]
    assert days.tolist() == [253402214400.0, -8520336000.0]


def test_truth_values_with_gaps_are_text_and_said_so(tmp_path: Path) -> None:
    table = read(tmp_path, "ok,n\ntrue,1\n,2\nFalse,3\n")
    assert table.frame["ok"].tolist() == ["true", "", "False"]
    assert any("'ok'" in note and "gaps" in note for note in table.notes)


def test_decimal_commas_are_text_and_said_so(tmp_path: Path) -> None:
    table = read(tmp_path, "price;n\n3,14;1\n1.234,5;2\n")
    assert dtypes(table)["price"] == "string"
    assert any("decimal commas" in note for note in table.notes)


def test_empty_columns_are_left_out_and_constant_ones_named(tmp_path: Path) -> None:
    table = read(tmp_path, "a,empty,same\n1,,x\n2,NA,x\n")
    assert list(table.frame.columns) == ["a", "same"]
    assert any("'empty'" in note for note in table.notes)
    assert any("'same'" in note and "same value" in note for note in table.notes)


def test_wrong_encoding_names_byte_and_line(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match=r"byte 0xe9 in line 3 \(offset 17\).*UTF-8"):
        read(tmp_path, "name,n\nAnna,1\nRené,2\n".encode("latin-1"))


def test_wrong_encoding_far_into_a_file_names_the_line(tmp_path: Path) -> None:
    content = "é,n\n".encode() + b"abc\xc3\xa9,1\n" * 300_000 + b"\xff,1\n"
    with pytest.raises(BadTrainingData, match="byte 0xff in line 300002 "):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \n\n", "empty"),
        (b"a,b\n", "header but no rows"),
        (b"a,b\n,\nNA,\n", "Every cell"),
        (b"a,,c\n1,2,3\n", "Column 2 has no name.*index=False"),
        (b"a,b,a\n1,2,3\n", "'a' more than once"),
        (b"a,b\n1,2\n\n1,2,3\n4,5\n", "Line 4 has 3 cells, but the header has 2"),
        (b'a,b\n"x\ny",2\n1\n', "Line 4 has 1 cells, but the header has 2"),
        (b'a,b\n1,2\n1,"open\n3,4\n', "begins in line 3 and is not closed"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"a,b\n1,\x00\n", "zero bytes"),
    ],
)
def test_what_is_no_table_is_refused_with_advice(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(BadTrainingData, match=message):
        read(tmp_path, content)


def test_unknown_target_names_the_columns_and_the_likely_one(tmp_path: Path) -> None:
    with pytest.raises(
        BadTrainingData, match=r"no column 'Diagnosis'.*Did you mean 'diagnosis'.*'age', 'diagnosis'"
    ) as raised:
        read(tmp_path, "age,diagnosis\n1,a\n", target="Diagnosis")
    assert raised.value.errors[0].field == "target"


def test_empty_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match="'y' has no values at all"):
        read(tmp_path, "x,y\n1,\n2,NA\n", target="y")


@pytest.mark.slow
def test_types_are_decided_over_all_blocks_of_a_large_file(tmp_path: Path) -> None:
    rows = 1_800_000
    table = read(tmp_path, "a,b\n" + "1234567,2\n" * rows + "1.5,x\n")
    assert len(table.frame) == rows + 1
    assert table.frame["a"].iloc[-1] == 1.5
    assert table.frame["b"].iloc[0] == "2"
