"""From content types and file names to formats of datasets."""

from __future__ import annotations

from pathlib import PurePosixPath

from modelpool.core.errors import UnsupportedMediaType

BY_TYPE = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/parquet": "parquet",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/ndjson": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/jsonlines": "jsonl",
}
BY_TYPE |= {
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/x-apache-arrow-stream": "arrow",
}
BY_SUFFIX = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
PACKED = (".gz", ".gzip", ".zst", ".zstd")
"""Ends of names of packed files; what is in them is told by the end before, and in the end by the content."""


def data_format_of(*, media_type: str, filename: str) -> str:
    """Return the format: by the content type, and where that says nothing by the end of the file's name.

    Raises :class:`UnsupportedMediaType` that lists the known ones.
    """
    name = PurePosixPath(filename.lower())
    if name.suffix in PACKED:
        name = name.with_suffix("")
    known = BY_TYPE.get(media_type) or BY_SUFFIX.get(name.suffix)
    if known is None:
        raise UnsupportedMediaType(
            f"The content type {media_type[:80]!r} is not a table that is read here; send 'Content-Type: text/csv', "
            "'application/vnd.apache.parquet' or 'application/x-ndjson', or a file name that ends in "
            f"{', '.join(BY_SUFFIX)} (as a form's part, or ?filename=)."
        )
    return known
