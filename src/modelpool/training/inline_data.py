"""Rows that a request carries itself: checked cell by cell, then kept as a dataset like any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from modelpool.core.errors import FieldError, Invalid, InvalidField

MAX_COLUMNS = 10_000
MAX_NAME_CHARACTERS = 200

_CELL = (str, int, float, bool, type(None))


def encode_inline(*, columns: Sequence[Any], rows: Sequence[Any], max_bytes: int) -> bytes:
    """Return ``{"columns": […], "rows": [[…]…]}`` as JSON bytes.

    Raises :class:`Invalid` whose ``errors`` name the first wrong column, row (``data.rows[3]``) or cell.
    """
    _check_columns(columns)
    _check_rows(rows, n_columns=len(columns))
    try:
        data = msgspec.json.encode({"columns": columns, "rows": rows})
    except (OverflowError, UnicodeEncodeError) as error:
        raise InvalidField("data.rows", f"a cell cannot be kept: {error}.") from error
    if len(data) > max_bytes:
        advice = f"the rows take {len(data)} bytes, more than {max_bytes}; send them as a CSV or Parquet file instead."
        raise InvalidField("data.rows", advice, code="too_large")
    return data


def _check_columns(columns: Sequence[Any]) -> None:
    if not isinstance(columns, list | tuple) or not columns:
        raise InvalidField("data.columns", "must be a list of at least one column name.")
    if len(columns) > MAX_COLUMNS:
        raise InvalidField("data.columns", f"has {len(columns)} names; at most {MAX_COLUMNS} are allowed.")
    seen: set[str] = set()
    for at, name in enumerate(columns):
        field = f"data.columns[{at}]"
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_CHARACTERS or "\x00" in name:
            raise InvalidField(field, f"must be a name of 1 to {MAX_NAME_CHARACTERS} characters, not {name!r:.80}.")
        if name in seen:
            raise InvalidField(
                field, f"{name!r:.80} is there twice; every column needs its own name.", code="duplicate"
            )
        seen.add(name)


def _check_rows(rows: Sequence[Any], *, n_columns: int) -> None:
    if not isinstance(rows, list | tuple) or not rows:
        raise InvalidField("data.rows", "must be a list of at least one row.")
    for at, row in enumerate(rows):
        if not isinstance(row, list | tuple):
            raise InvalidField(f"data.rows[{at}]", "must be a list of cells, one for each column.")
        if len(row) != n_columns:
            raise InvalidField(
                f"data.rows[{at}]", f"has {len(row)} cells but there are {n_columns} columns.", code="ragged"
            )
        if not all(isinstance(cell, _CELL) for cell in row):
            raise _wrong_cell(at, row)


def _wrong_cell(at: int, row: Sequence[Any]) -> Invalid:
    number = next(i for i, cell in enumerate(row) if not isinstance(cell, _CELL))
    field = f"data.rows[{at}][{number}]"
    kind = "a list" if isinstance(row[number], list) else "an object"
    detail = f"must be text, a number, true, false or null, not {kind}."
    return Invalid(f"{field}: {detail}", errors=[FieldError(field, detail)])
