"""Which format a file is really in: its content decides, its name and content type only help."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from modelpool.core.errors import BadTrainingData
from modelpool.training.tables.opening import read_head

TableFormat = Literal["csv", "parquet", "jsonl", "json", "arrow"]

_MAGIC: tuple[tuple[bytes, TableFormat], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),  # a stream: the mark before each message
)
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"ORC", "an ORC file"),
    (b"FEA1", "a Feather file of version 1"),
    (b"\x89HDF", "an HDF5 file"),
    (b"BZh", "packed with bzip2"),
    (b"\xfd7zXZ", "packed with xz"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF document"),
)


def detect_format(path: Path, *, named: TableFormat) -> TableFormat:
    """Return the format by the first bytes of what is in the file; ``named`` decides between kinds of text.

    Raises :class:`BadTrainingData` for the usual files that hold no table that is read here, and says which they are.
    """
    if named == "json":
        return named
    head = read_head(path)
    for start, found in _MAGIC:
        if head.startswith(start):
            return found
    for start, what in _FOREIGN:
        if head.startswith(start):
            raise BadTrainingData(
                f"The file is {what}, which is not read here; save it as CSV, Parquet, Arrow or JSON lines "
                "(plain, gzip or Zstandard) and send it again."
            )
    return _detect_text(head, named=named)


def _detect_text(head: bytes, *, named: TableFormat) -> TableFormat:
    is_text = bool(head) and not any(byte < 9 for byte in head)
    if not is_text or named == "jsonl":
        return named
    has_objects = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b'{"', b"{}"))
    return "jsonl" if has_objects else "csv"
