"""JSON: one object a line, or a whole table as ``{"columns": […], "rows": [[…]…]}``."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables.chunks import ALL_KINDS, ColumnChunk, Kind, TableChunk, TableSource, check_names
from modelpool.training.tables.opening import check_text, open_data
from modelpool.training.tables.text_kinds import text_to_chunk

_CHUNK_ROWS = 20_000
MAX_LINE_BYTES = 16 << 20
_INT64 = range(-(2**63), 2**63)


class InlineTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows in the body of a request."""

    columns: tuple[str, ...]
    rows: list[list[Any]]


def open_json_lines(path: Path) -> TableSource:
    """Read one object a line; columns are found as they come, in the order of their first appearance."""
    check_text(path)
    return TableSource((), _line_chunks(path))


def open_inline(path: Path) -> TableSource:
    """Read a :class:`InlineTable`; all of it is in memory at once, as it came in a request."""
    check_text(path)
    with open_data(path) as stream:
        data = bytes(stream.read())
    try:
        table = msgspec.json.decode(data, type=InlineTable)
    except msgspec.DecodeError as error:
        raise BadTrainingData(f'The inline data is not {{"columns": […], "rows": [[…]…]}}: {error}') from error
    names = check_names(table.columns, place='"columns"')
    _check_widths(table.rows, n_columns=len(names))
    return TableSource(names, _inline_chunks(names, table.rows))


def _check_widths(rows: Sequence[Sequence[Any]], *, n_columns: int) -> None:
    for position, row in enumerate(rows):
        if len(row) != n_columns:
            raise BadTrainingData(f"rows[{position}] has {len(row)} values, but there are {n_columns} columns.")


def _inline_chunks(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[TableChunk]:
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = rows[start : start + _CHUNK_ROWS]
        values = zip(*part, strict=True)
        columns = {name: _to_chunk(column, name=name) for name, column in zip(names, values, strict=True)}
        yield TableChunk(len(part), columns)


def _line_chunks(path: Path) -> Iterator[TableChunk]:
    with open_data(path) as stream:
        batch: list[dict[str, Any]] = []
        for number, line in enumerate(_bounded_lines(stream), start=1):
            if line.strip(b"\xef\xbb\xbf \t\r\n"):
                batch.append(_parse_line(line, number=number))
            if len(batch) == _CHUNK_ROWS:
                yield _objects_to_chunk(batch)
                batch = []
        if batch:
            yield _objects_to_chunk(batch)


def _bounded_lines(stream: Any) -> Iterator[bytes]:
    """Yield lines; one without end would be read into memory whole."""
    reader, number = io.BufferedReader(stream), 0
    while line := reader.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise BadTrainingData(
                f"Line {number} is longer than {MAX_LINE_BYTES} bytes; write one object a line, not one array."
            )
        yield line


def _parse_line(line: bytes, *, number: int) -> dict[str, Any]:
    text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    try:
        value = _decode(text)
    except ValueError as error:
        raise BadTrainingData(
            f'Line {number} is not JSON: {error}. Write one object a line, such as {{"age": 31}}.'
        ) from error
    if not isinstance(value, dict):
        raise BadTrainingData(f'Line {number} is not a JSON object; write one object a line, such as {{"age": 31}}.')
    return value


def _decode(text: bytes) -> Any:
    """Decode with msgspec; what it refuses may still be Python's ``NaN`` and ``Infinity``."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)


def _objects_to_chunk(objects: Sequence[dict[str, Any]]) -> TableChunk:
    names = dict.fromkeys(name for item in objects for name in item)
    stripped = check_names(tuple(names), place="the objects")
    columns = {
        clean: _to_chunk([item.get(name) for item in objects], name=clean)
        for name, clean in zip(names, stripped, strict=True)
    }
    return TableChunk(len(objects), columns)


def _to_chunk(values: Iterable[Any], *, name: str) -> ColumnChunk:
    import pyarrow as pa

    texts: list[str | None] = []
    kinds: set[frozenset[Kind]] = set()
    for value in values:
        text, value_kinds = _to_text(value, name=name)
        texts.append(text)
        if text is not None:
            kinds.add(value_kinds)
    if kinds == {frozenset()}:
        return text_to_chunk(pa.array(texts, pa.string()))
    return ColumnChunk(pa.array(texts, pa.string()), frozenset.intersection(ALL_KINDS, *kinds))


def _to_text(value: Any, *, name: str) -> tuple[str | None, frozenset[Kind]]:
    """Return a value's canonical text and the types it allows: text none here, so that a mixed column is text."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None, ALL_KINDS
    if isinstance(value, str):
        return value, frozenset()
    if isinstance(value, bool):
        return ("true" if value else "false"), frozenset({"bool"})
    if isinstance(value, int):
        return str(value), frozenset({"int64", "float64"} if value in _INT64 else ())
    if isinstance(value, float):
        return repr(value), frozenset({"float64"})
    raise BadTrainingData(
        f"Column {name!r} holds lists or objects; give one number, text, true/false or null per cell."
    )
