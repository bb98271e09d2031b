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


class PreviewBuilder:
    """Collects the first rows of the first columns, however small the chunks are that they come in."""

    def __init__(self) -> None:
        self._columns: dict[str, list[str | None]] = {}
        self._n_rows = 0

    def add(self, chunk: TableChunk) -> None:
        """Take what is still wanted; a column that begins late or ends early is missing in the other rows."""
        wanted = min(MAX_ROWS - self._n_rows, chunk.n_rows)
        if wanted <= 0:
            return
        for name in chunk.columns:
            if name not in self._columns and len(self._columns) < MAX_COLUMNS:
                self._columns[name] = [None] * self._n_rows
        for name, cells in self._columns.items():
            cells.extend(_cells(chunk, name, n_rows=wanted))
        self._n_rows += wanted

    def build(self) -> Preview:
        """Return what was collected."""
        rows = [list(row) for row in zip(*self._columns.values(), strict=True)]
        return Preview(columns=list(self._columns), rows=rows)


def _cells(chunk: TableChunk, name: str, *, n_rows: int) -> list[str | None]:
    import pyarrow as pa

    if name not in chunk.columns:
        return [None] * n_rows
    texts = chunk.columns[name].values.slice(0, n_rows).cast(pa.string()).to_pylist()
    return [None if text is None else text[:MAX_CELL_CHARACTERS] for text in texts]
