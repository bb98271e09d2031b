"""Whatever table is written comes back, and no bytes break the readers."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables import TableFormat, profile_table, read_table
from modelpool.training.tables.text_kinds import MISSING_MARKERS

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: text.strip() == text and text not in MISSING_MARKERS
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    """Columns of one type each, with gaps, at least one value in all."""
    n_rows = draw(st.integers(1, 8))
    kinds = st.sampled_from([st.integers(-(2**53), 2**53), st.floats(allow_nan=False), st.booleans(), texts])
    column = kinds.flatmap(lambda kind: st.lists(st.none() | kind, min_size=n_rows, max_size=n_rows))
    return draw(st.lists(column.filter(lambda cells: any(cell is not None for cell in cells)), min_size=2, max_size=4))


def as_read(cells: list[Any]) -> list[Any]:
    """What the reader should make of a column, computed without it."""
    if any(isinstance(cell, bool) for cell in cells) and None in cells:
        return ["" if cell is None else str(cell) for cell in cells]
    if any(isinstance(cell, str) for cell in cells):
        return ["" if cell is None else cell for cell in cells]
    return [np.nan if cell is None else cell for cell in cells]


def write_csv(columns: list[list[Any]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow([f"column{number}" for number in range(len(columns))])
    writer.writerows([["" if cell is None else cell for cell in row] for row in zip(*columns, strict=True)])
    return buffer.getvalue()


def is_text(cells: list[Any]) -> bool:
    return any(isinstance(cell, str) for cell in cells)


@pytest.mark.slow
@QUICK
@given(tables())
def test_csv_comes_back(tmp_path: Path, columns: list[list[Any]]) -> None:
    path = tmp_path / "data"
    path.write_text(write_csv(columns), encoding="utf-8", newline="")
    frame = read_table(path, format="csv").frame
    for number, cells in enumerate(columns):
        found = frame[f"column{number}"]
        if is_text(cells) and found.dtype != object:
            continue  # texts that all look like numbers or dates are read as such
        np.testing.assert_array_equal(found.to_numpy(), np.array(as_read(cells), dtype=found.dtype))


@QUICK
@given(tables())
def test_json_lines_come_back(tmp_path: Path, columns: list[list[Any]]) -> None:
    path = tmp_path / "data"
    names = [f"column{number}" for number in range(len(columns))]
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
    path.write_text("\n".join(lines), encoding="utf-8")
    frame = read_table(path, format="jsonl").frame
    for name, cells in zip(names, columns, strict=True):
        expected = [cell.lower() if isinstance(cell, str) and not is_text(cells) else cell for cell in as_read(cells)]
        np.testing.assert_array_equal(frame[name].to_numpy(), np.array(expected, dtype=frame[name].dtype))


@pytest.mark.parametrize("format", ["csv", "jsonl", "json", "parquet"])
@QUICK
@given(content=st.binary(max_size=200) | st.text('a1,;"\n\r\t{}[]:. -eé', max_size=80).map(str.encode))
def test_no_bytes_break_the_readers(tmp_path: Path, format: TableFormat, content: bytes) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    for read in (read_table, profile_table):
        with contextlib.suppress(BadTrainingData):
            read(path, format=format)
