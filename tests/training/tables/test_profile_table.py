"""The profile of a dataset, compared with what pandas computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables import profile_table
from modelpool.training.tables.chunks import ColumnChunk, TableChunk
from modelpool.training.tables.preview import MAX_CELL_CHARACTERS, MAX_ROWS, PreviewBuilder
from modelpool.training.tables.profile import MAX_DISTINCT


def test_figures_are_those_of_pandas(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"n": generator.integers(0, 9, 500), "x": generator.normal(size=500)})
    frame["city"] = generator.choice(["Paris", "Rome", "Köln"], 500)
    frame.loc[::7, "x"] = np.nan
    frame["day"] = pd.date_range("2024-01-01", periods=500, freq="h").strftime("%Y-%m-%dT%H:%M:%S")
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    profile = profile_table(path, format="csv")
    assert profile.n_rows == 500
    number, decimal, text, day = profile.columns
    assert [column.dtype for column in profile.columns] == ["int64", "float64", "string", "datetime"]
    assert (number.min, number.max, number.mean) == (frame.n.min(), frame.n.max(), pytest.approx(frame.n.mean()))
    assert number.distinct == frame.n.nunique()
    assert decimal.missing == frame.x.isna().sum()
    assert decimal.mean == pytest.approx(frame.x.mean())
    counts = frame.city.value_counts()
    assert dict(text.top) == counts.to_dict()
    assert text.top[0][1] == counts.max()
    assert (day.min, day.max) == ("2024-01-01T00:00:00Z", "2024-01-21T19:00:00Z")


def test_profile_is_json(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("x,y,empty\ninf,1,\n-inf,2,\n")
    built = profile_table(path, format="csv").to_dict()
    json.dumps(built, allow_nan=False)
    assert built["columns"][0]["mean"] is None
    assert built["columns"][2]["dtype"] == "null"


def test_type_is_decided_by_the_last_row_too(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"a": 1}\n' * 30_000 + '{"a": "x", "b": 1}\n')
    first, second = profile_table(path, format="jsonl").columns
    assert (first.dtype, first.mean, first.distinct) == ("string", None, 2)
    assert (second.dtype, second.missing) == ("int64", 30_000)


def test_distinct_values_are_counted_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("id,k\n" + "".join(f"u{number},x\n" for number in range(MAX_DISTINCT + 5)))
    column, _ = profile_table(path, format="csv").columns
    assert column.distinct == MAX_DISTINCT
    assert column.is_distinct_capped


def test_ragged_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(BadTrainingData, match="Line 3 has 1 cells"):
        profile_table(path, format="csv")


def test_counts_past_the_bound_are_of_the_values_known_by_then(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    rows = [f'{{"id": "u{number}"}}\n' for number in range(MAX_DISTINCT + 15_000)]
    path.write_text("".join(rows) + '{"id": "u7"}\n' * 9 + '{"id": "new"}\n' * 99)
    (column,) = profile_table(path, format="jsonl").columns
    assert (column.distinct, column.is_distinct_capped) == (MAX_DISTINCT, True)
    assert column.top[:2] == (("u7", 10), ("u0", 1))


def test_a_full_count_is_not_called_capped_while_nothing_new_comes(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f'{{"id": "u{number}"}}\n' for number in range(MAX_DISTINCT)) * 3)
    (column,) = profile_table(path, format="jsonl").columns
    assert (column.distinct, column.is_distinct_capped, column.top[0][1]) == (MAX_DISTINCT, False, 3)


def test_a_preview_is_full_however_small_the_batches(tmp_path: Path) -> None:
    path = tmp_path / "data.arrows"
    table = pa.table({"n": range(MAX_ROWS + 10), "name": [None, *("x" * 300 for _ in range(MAX_ROWS + 9))]})
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_batch(table.to_batches()[0].slice(0, 0))
        for batch in table.to_batches(max_chunksize=1):
            writer.write_batch(batch)
    preview = profile_table(path, format="arrow").preview
    assert preview.columns == ["n", "name"]
    assert preview.rows[0] == ["0", None]
    assert preview.rows[-1] == [str(MAX_ROWS - 1), "x" * MAX_CELL_CHARACTERS]
    assert len(preview.rows) == MAX_ROWS


def test_a_preview_has_a_column_that_begins_late() -> None:
    preview = PreviewBuilder()
    for number in range(3):
        chunk = ColumnChunk(pa.array([number]), frozenset({"int64"}))
        preview.add(TableChunk(1, {"abc"[number]: chunk}))
    assert preview.build().rows == [["0", None, None], [None, "1", None], [None, None, "2"]]
