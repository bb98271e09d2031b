"""A data file to the frame that a trainer gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.core.errors import BadTrainingData, FieldError
from modelpool.core.signature import DType, TensorSpec
from modelpool.training.tables.arrow import open_arrow
from modelpool.training.tables.chunks import ALL_KINDS, ColumnChunk, Kind, TableSource, pick_kind
from modelpool.training.tables.convert import to_array
from modelpool.training.tables.delimited import open_csv
from modelpool.training.tables.detect import TableFormat
from modelpool.training.tables.json_rows import open_inline, open_json_lines
from modelpool.training.tables.parquet import open_parquet
from modelpool.training.tables.text_kinds import has_decimal_commas

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

OPENERS: Mapping[TableFormat, Callable[[Path], TableSource]] = MappingProxyType(
    {"csv": open_csv, "parquet": open_parquet, "jsonl": open_json_lines, "json": open_inline, "arrow": open_arrow}
)

WIRE_DTYPES: Mapping[Kind, DType] = MappingProxyType(
    {"bool": "bool", "int64": "float64", "float64": "float64", "datetime": "datetime", "string": "string"}
)
"""What a prediction may send for a column of each type: whole numbers in training do not forbid 3.5 later."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table in memory.

    ``frame`` is ``(n_rows, n_columns)`` as :attr:`modelpool.core.trainer.Run.data` says. ``columns`` say for each of
    its columns how it stands on the wire of predictions; ``nullable`` where values are missing here. ``notes`` are
    sentences for the job's log: columns left out, and what looks wrong.
    """

    frame: pd.DataFrame
    columns: tuple[TensorSpec, ...]
    notes: tuple[str, ...]


def read_table(path: Path, *, format: TableFormat, target: str | None = None) -> Table:
    """Read a whole file: ``csv``, ``parquet``, ``jsonl``, ``arrow``, or ``json`` for ``{"columns", "rows"}``.

    Each may be packed with gzip or Zstandard. Raises :class:`~modelpool.core.errors.BadTrainingData` with the
    line and the remedy for a file that does not hold a table, and for a ``target`` that is not in it or has no value.
    """
    source = OPENERS[format](path)
    columns, n_rows = _collect(source)
    if not n_rows:
        raise BadTrainingData(
            "The table has a header but no rows; add rows." if columns else "The table is empty; add rows."
        )
    if target is not None:
        check_target(target, columns=list(columns))
    return _build(columns, target=target, skipped=source.skipped)


def check_target(target: str, *, columns: Sequence[str]) -> None:
    """Raise :class:`BadTrainingData`, naming the columns there are, when ``target`` is not one of them."""
    if target in columns:
        return
    close = get_close_matches(target, columns, n=1, cutoff=0.6) or [
        column for column in columns if column.strip().casefold() == target.strip().casefold()
    ]
    advice = f" Did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(map(repr, columns[:30])) + (", …" if len(columns) > 30 else "")
    detail = f"There is no column {target!r} to predict.{advice} The columns are {shown}."
    raise BadTrainingData(detail, errors=[FieldError("target", detail, "unknown_column")])


@dataclass(slots=True)
class _Column:
    values: pa.ChunkedArray
    kinds: frozenset[Kind]

    @property
    def kind(self) -> Kind:
        return pick_kind(self.kinds)


def _collect(source: TableSource) -> tuple[dict[str, _Column], int]:
    """Gather the chunks column by column; a column that begins late or ends early is missing in the other rows."""
    parts: dict[str, list[ColumnChunk | int]] = {name: [] for name in source.names}
    n_rows = 0
    for chunk in source.chunks:
        for name in chunk.columns:
            parts.setdefault(name, [n_rows])
        for name, part in parts.items():
            part.append(chunk.columns.get(name, chunk.n_rows))
        n_rows += chunk.n_rows
    ordered = source.names or tuple(parts)
    return {name: _join(parts[name]) for name in ordered}, n_rows


def _join(parts: Sequence[ColumnChunk | int]) -> _Column:
    import pyarrow as pa

    chunks = [part for part in parts if isinstance(part, ColumnChunk)]
    kind = chunks[0].values.type if chunks else pa.string()
    arrays = [pa.nulls(part, kind) if isinstance(part, int) else part.values for part in parts]
    arrays = [array if array.type == kind else _as_text(array) for array in arrays]
    if len({array.type for array in arrays}) > 1:
        arrays = [_as_text(array) for array in arrays]
    joined = pa.concat_arrays(arrays) if arrays else pa.nulls(0, kind)
    return _Column(joined, frozenset.intersection(ALL_KINDS, *(chunk.kinds for chunk in chunks)))


def _as_text(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    return array.cast(pa.string())


def _build(columns: dict[str, _Column], *, target: str | None, skipped: Sequence[str]) -> Table:
    import pandas as pd

    present = {name: column for name, column in columns.items() if column.values.null_count < len(column.values)}
    if target is not None and target not in present:
        detail = f"Column {target!r} has no values at all; the column to predict must be filled in."
        raise BadTrainingData(detail, errors=[FieldError("target", detail, "empty_target")])
    if not present:
        raise BadTrainingData("Every cell of the table is empty; send rows with values.")
    arrays = {name: to_array(column.values, kind=column.kind) for name, column in present.items()}
    frame = pd.DataFrame({name: pd.Series(array, dtype=array.dtype) for name, array in arrays.items()})
    specs = tuple(_to_spec(name, column, array=arrays[name]) for name, column in present.items())
    notes = [*skipped, *(note for name, column in columns.items() for note in _notes(name, column))]
    return Table(frame, specs, tuple(notes))


def _to_spec(name: str, column: _Column, *, array: np.ndarray[Any, Any]) -> TensorSpec:
    kind: Kind = "string" if array.dtype == object else column.kind
    return TensorSpec(name, WIRE_DTYPES[kind], nullable=column.values.null_count > 0)


def _notes(name: str, column: _Column) -> list[str]:
    import pyarrow as pa

    missing, total = column.values.null_count, len(column.values)
    if missing == total:
        return [f"Column {name!r} has no values and is left out."]
    notes = []
    if missing and column.kind == "bool":
        notes.append(
            f"Column {name!r} holds true and false with gaps, so it is read as text; fill the gaps to make it boolean."
        )
    if column.kind == "string" and column.values.type == pa.string() and has_decimal_commas(column.values):
        notes.append(
            f"Column {name!r} looks like numbers with decimal commas, but is read as text; write 3.14 instead of 3,14."
        )
    if not missing and len(column.values.unique()) == 1 and total > 1:
        notes.append(f"Column {name!r} holds the same value in every row.")
    return notes
