"""The first rows of a table, as people look at them."""

from __future__ import annotations

import msgspec

from modelpool.training.tables.chunks import TableChunk

MAX_ROWS = 50
MAX_COLUMNS = 200
MAX_CELL_CHARACTERS = 200


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """``columns`` and ``rows`` of cells: text as in the file, cut to 200 characters, ``None`` where missing."""

    columns: list[str]
    rows: list[list[str | None]]


def preview_of(chunk: TableChunk) -> Preview:
    """Return the first rows of the first columns."""
    names = list(chunk.columns)[:MAX_COLUMNS]
    cells = [_cells(chunk, name) for name in names]
    return Preview(columns=names, rows=[list(row) for row in zip(*cells, strict=True)])


def _cells(chunk: TableChunk, name: str) -> list[str | None]:
    import pyarrow as pa

    texts = chunk.columns[name].values.slice(0, MAX_ROWS).cast(pa.string()).to_pylist()
    return [None if text is None else text[:MAX_CELL_CHARACTERS] for text in texts]
