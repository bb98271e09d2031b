"""CSV: a header and rows, as of RFC 4180, in UTF-8, separated by commas.

Where they fit the model better, semicolons, tabs or bars separate the cells, as in the files it was trained on.
A model of columns needs a header that names them, in any order; a nullable column may be left out, an unknown one is
refused. A model of one matrix takes ``n`` columns, with a header of any names or without one: the first line is a
header unless all of it are numbers. An empty cell is a missing value. Booleans are ``true`` and ``false`` in any case,
or 1 and 0.
Paths of errors are ``rows[3].age``, counted from 0 without the header. The answer is JSON.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Any

import numpy as np

from modelpool.core.codecs.base import MAX_VALUES, Codec, Decoder, Encoder, InferenceRequest
from modelpool.core.codecs.json import JsonCodec
from modelpool.core.codecs.json_types import takes_matrix
from modelpool.core.codecs.values import ErrorList, array_dtype, build_array
from modelpool.core.errors import FieldError, Malformed, SignatureMismatch, TooLarge, UnsupportedMediaType
from modelpool.core.formats.base import TableArrays
from modelpool.core.signature import ModelSignature, TensorSpec

_NUMBER = re.compile(r"[ \t]*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[ \t]*", re.ASCII)
_WHOLE = re.compile(r"[ \t]*[+-]?\d{1,40}[ \t]*", re.ASCII)
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

_DELIMITERS = ",;\t|"
_HEAD_CHARS = 1 << 16

Table = list[list[str]]


class CsvCodec(Codec):
    """``text/csv``."""

    content_type = "text/csv"

    def decoder(self, signature: ModelSignature) -> Decoder:
        """Return the reader of tables for this signature."""
        if takes_matrix(signature):
            if len(signature.inputs[0].shape) != 2:
                return _refuse_tensors
            return lambda body: _read_matrix(body, signature)
        if not signature.is_tabular:
            return _refuse_tensors
        return lambda body: _read_columns(body, signature)

    def encoder(self, signature: ModelSignature, *, model: str, version: int) -> Encoder:
        """Return the writer of JSON answers."""
        return JsonCodec().encoder(signature, model=model, version=version)


def _refuse_tensors(body: bytes) -> InferenceRequest:
    raise UnsupportedMediaType("This model takes tensors, which CSV cannot say; send application/json.")


def _read_columns(body: bytes, signature: ModelSignature) -> InferenceRequest:
    text = _read_text_of(body)
    delimiter = _delimiter_of_columns(text, {spec.name for spec in signature.inputs})
    header, rows = _read_header(_read_table(text, delimiter=delimiter))
    position = _positions(header, signature)
    _check_widths(rows, width=len(header))
    order = [position.get(spec.name) for spec in signature.inputs]
    block = _read_numbers(rows, signature.inputs, order=order)
    if block is not None:
        table = TableArrays(numbers=block, number_names=tuple(position))
        return InferenceRequest(table, len(rows), signature.methods[:1])
    errors, arrays = ErrorList(), {}
    for spec, at in zip(signature.inputs, order, strict=True):
        values = [None] * len(rows) if at is None else [_read_cell(row[at], spec) for row in rows]
        arrays[spec.name] = build_array(spec, values, field_of=_path(spec.name), errors=errors)
    return InferenceRequest(arrays, len(rows), signature.methods[:1])


def _read_matrix(body: bytes, signature: ModelSignature) -> InferenceRequest:
    spec = signature.inputs[0]
    text = _read_text_of(body)
    table = _read_table(text, delimiter=_delimiter_of_matrix(text))
    has_header = bool(table) and not all(_NUMBER.fullmatch(cell) or not cell for cell in table[0])
    rows = table[1:] if has_header else table
    width = spec.shape[1] if spec.shape[1] >= 0 else len(table[0]) if table else 0
    _check_widths(table[:1], width=width, header=has_header)
    _check_widths(rows, width=width)
    values = [[_read_cell(cell, spec) for cell in row] for row in rows]
    array = build_array(spec, values, field_of=lambda row: f"rows[{row}]", errors=ErrorList())
    return InferenceRequest({spec.name: array}, len(rows), signature.methods[:1])


def _read_text_of(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8: byte {error.start} is wrong.") from error
    if "\x00" in text:
        raise Malformed("A text holds the character NUL.")
    return text


def _read_table(text: str, *, delimiter: str) -> Table:
    if text.count(delimiter) > MAX_VALUES:
        raise TooLarge(MAX_VALUES, unit="values")
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise Malformed(f"The body is not CSV: {error}.") from error


def _delimiter_of_columns(text: str, known: Collection[str]) -> str:
    """Return what splits the header into most names of the model's columns; a comma of equals."""
    most, best = 0, _DELIMITERS[0]
    for delimiter in _DELIMITERS:
        header = _first_row(text, delimiter=delimiter)
        count = sum(name in known for name in header)
        if count == len(header) > 1:
            return delimiter
        if count > most:
            most, best = count, delimiter
    return best


def _delimiter_of_matrix(text: str) -> str:
    """Return a comma where there is one in the first line, else what else there is."""
    first = text.lstrip("\r\n").partition("\n")[0]
    return next((delimiter for delimiter in _DELIMITERS if delimiter in first), _DELIMITERS[0])


def _first_row(text: str, *, delimiter: str) -> list[str]:
    rows = csv.reader(io.StringIO(text[:_HEAD_CHARS], newline=""), delimiter=delimiter)
    try:
        return next((row for row in rows if row), [])
    except csv.Error:
        return []


def _read_header(table: Table) -> tuple[list[str], Table]:
    if not table:
        detail = "takes a header line that names the columns, and is empty"
        raise SignatureMismatch(f"body: {detail}.", errors=[FieldError("body", detail, "missing_header")])
    return table[0], table[1:]


def _positions(header: list[str], signature: ModelSignature) -> dict[str, int]:
    errors = ErrorList()
    known = {spec.name for spec in signature.inputs}
    position: dict[str, int] = {}
    for at, name in enumerate(header):
        if name not in known:
            errors.add(f"header[{at}]", f"{name[:80]!r} is not an input of this model", "unknown_column")
        elif name in position:
            errors.add(f"header[{at}]", f"{name!r} occurs twice", "duplicate_column")
        position[name] = at
    for spec in signature.inputs:
        if spec.name not in position and not spec.nullable:
            errors.add("header", f"{spec.name!r} is missing", "missing_column")
    errors.raise_if_any()
    return {spec.name: position[spec.name] for spec in signature.inputs if spec.name in position}


def _check_widths(rows: Table, *, width: int, header: bool = False) -> None:
    errors = ErrorList()
    for number, row in enumerate(rows):
        if len(row) != width:
            field = "header" if header else f"rows[{number}]"
            errors.add(field, f"has {len(row)} cells; {width} are expected", "wrong_width")
    errors.raise_if_any()


def _read_numbers(
    rows: Table, specs: Sequence[TensorSpec], *, order: Sequence[int | None]
) -> np.ndarray[Any, Any] | None:
    """Read a table of float64 at once, or return ``None`` where a cell needs a closer look."""
    if not rows or any(spec.dtype != "float64" for spec in specs) or order != list(range(len(specs))):
        return None
    width = len(specs)
    text = "".join(chain.from_iterable(rows))
    if not text.isascii() or "_" in text:  # float() takes both, CSV should not
        return None
    try:
        flat = np.fromiter(map(float, chain.from_iterable(rows)), array_dtype(specs[0]), len(rows) * width)
    except ValueError:
        return None
    return flat.reshape(len(rows), width) if bool(np.isfinite(flat).all()) else None


def _read_cell(cell: str, spec: TensorSpec) -> Any:
    """Return what the cell would be in JSON; what is not of the column's type stays a text, for the check to refuse."""
    if not cell:
        return None
    return _CELL_READERS.get(spec.dtype, _read_number)(cell)


def _read_number(cell: str) -> Any:
    if _WHOLE.fullmatch(cell):
        return int(cell)
    if _NUMBER.fullmatch(cell):
        number = float(cell)
        return cell if math.isinf(number) else number
    return cell


def _read_boolean(cell: str) -> Any:
    return _BOOLEANS.get(cell.strip().lower(), cell)


def _read_text(cell: str) -> str:
    return cell


_CELL_READERS: dict[str, Callable[[str], Any]] = {
    "string": _read_text,
    "datetime": _read_text,
    "bool": _read_boolean,
}


def _path(name: str) -> Callable[[int], str]:
    return lambda row: f"rows[{row}].{name}"
