"""CSV files: the delimiter found, the header checked, ragged rows named by their line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables.chunks import TableChunk, TableSource, check_names
from modelpool.training.tables.opening import check_text, open_data
from modelpool.training.tables.text_kinds import cells_to_chunk

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

DELIMITERS = ",;\t|"
_HEAD_BYTES = 1 << 18
_SNIFFED_ROWS = 50
_BLOCK_BYTES = 1 << 21
"""Arrow reads 32 blocks ahead, whatever one asks for: it holds 64 MiB of text, and rows of any length."""


def open_csv(path: Path) -> TableSource:
    """Check the text and the header, and return the rows to come; the delimiter is one of :data:`DELIMITERS`."""
    quotes = check_text(path)
    head = _read_head(path)
    delimiter = find_delimiter(head)
    if quotes % 2:
        _check_quotes_close(path, delimiter=delimiter)
    names = check_names(_first_row(head, delimiter=delimiter), place="the header line")
    return TableSource(names, _rows(path, names=names, delimiter=delimiter))


def find_delimiter(head: str) -> str:
    """Return the delimiter that splits the header and most rows after it into the same number of cells, above one."""
    return max(DELIMITERS, key=lambda delimiter: _consistency(head, delimiter=delimiter))


def _consistency(head: str, *, delimiter: str) -> tuple[float, int]:
    rows = [
        row
        for _, row in zip(range(_SNIFFED_ROWS), _parse(io.StringIO(head, newline=""), delimiter), strict=False)
        if row
    ]
    width = len(rows[0])
    if width == 1:
        return 0.0, 1
    complete = rows[:-1] if len(rows) > 2 else rows
    return sum(len(row) == width for row in complete) / len(complete), width


def _first_row(head: str, *, delimiter: str) -> list[str]:
    return next(row for row in _parse(io.StringIO(head, newline=""), delimiter) if row)


def _parse(lines: Iterator[str] | io.StringIO, delimiter: str, *, strict: bool = False) -> csv._reader:  # type: ignore[name-defined]
    csv.field_size_limit(1 << 30)
    return csv.reader(lines, delimiter=delimiter, strict=strict)


def _read_head(path: Path) -> str:
    with open_data(path) as stream:
        return bytes(stream.read(_HEAD_BYTES)).decode(errors="ignore").removeprefix("\ufeff").lstrip("\r\n")


def _rows(path: Path, *, names: tuple[str, ...], delimiter: str) -> Iterator[TableChunk]:
    import pyarrow as pa

    try:
        with open_data(path) as stream:
            _skip_blank_start(stream, path)
            for batch in _open_reader(stream, n_columns=len(names), delimiter=delimiter):
                columns = [cells_to_chunk(column) for column in batch.columns]
                yield TableChunk(batch.num_rows, dict(zip(names, columns, strict=True)))
    except pa.ArrowInvalid as error:
        _explain(path, n_columns=len(names), delimiter=delimiter, error=error)


def _skip_blank_start(stream: pa.NativeFile, path: Path) -> None:
    with open_data(path) as peek:
        head = bytes(peek.read(_HEAD_BYTES))
    text = head.removeprefix(b"\xef\xbb\xbf")
    stream.read(len(head) - len(text.lstrip(b"\r\n")))


def _open_reader(stream: pa.NativeFile, *, n_columns: int, delimiter: str) -> arrow_csv.CSVStreamingReader:
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    names = [str(position) for position in range(n_columns)]
    return arrow_csv.open_csv(
        stream,
        read_options=arrow_csv.ReadOptions(
            column_names=names, skip_rows_after_names=1, use_threads=False, block_size=_BLOCK_BYTES
        ),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )


def _explain(path: Path, *, n_columns: int, delimiter: str, error: Exception) -> NoReturn:
    """Find the first ragged row once more, slowly, for the number of its line."""
    with open_data(path) as stream:
        reader = _parse(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), delimiter)
        for row in reader:
            if row and len(row) != n_columns:
                raise BadTrainingData(
                    f"Line {reader.line_num} has {len(row)} cells, but the header has {n_columns} "
                    f"(delimiter {delimiter!r}). Cells that contain the delimiter must be in double quotes."
                ) from error
    raise BadTrainingData(f"The file is not well-formed CSV: {error}") from error


def _check_quotes_close(path: Path, *, delimiter: str) -> None:
    with open_data(path) as stream:
        reader = _parse(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), delimiter, strict=True)
        start = 1
        try:
            for _ in reader:
                start = reader.line_num + 1
        except csv.Error as error:
            raise BadTrainingData(
                f"A double quote opens in the row that begins in line {start} and is not closed as it should be "
                f'({error}); write a quote inside a quoted cell twice (""), or close it.'
            ) from error
