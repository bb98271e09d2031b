"""A query to a Parquet file, in a child process of its own: read only, bounded in time, rows and bytes."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from modelpool.core.errors import BadTrainingData
from modelpool.training.messages import QueryRequest
from modelpool.training.tables.opening import limit_unpacked
from modelpool.training.tables.profile import profile_table
from modelpool.training.tables.to_parquet import write_parquet

_ROWS_AT_ONCE = 5000
_CONNECT_S = 10
_STEPS = 10_000
_TOKENS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|::|:([A-Za-z_]\w*)", re.DOTALL)


def run_query(request: QueryRequest, *, folder: Path) -> int:
    """Write the rows to ``request.table`` and return how many.

    Rows are spooled as JSON lines first, so that types are decided by all of them, as those of an uploaded file are.
    Raises :class:`BadTrainingData` for no rows and too many, and what the database's library raises.
    """
    limit_unpacked(request.max_bytes)
    spool = folder / "rows.jsonl"
    n_rows = _spool(request, spool)
    if not n_rows:
        raise BadTrainingData("The query has no rows for these parameters.")
    profile = profile_table(spool, format="jsonl")
    write_parquet(spool, format="jsonl", profile=profile, target=folder / request.table)
    return n_rows


def _spool(request: QueryRequest, path: Path) -> int:
    encoder = msgspec.json.Encoder(enc_hook=str)
    rows = _sqlite_rows(request) if request.url.startswith("sqlite:") else _postgres_rows(request)
    n_rows = size = 0
    with path.open("wb") as file, closing(rows):
        names = _checked(next(rows))
        for row in rows:
            n_rows += 1
            if n_rows > request.max_rows:
                raise BadTrainingData(f"The query has more than {request.max_rows} rows, the limit of this source.")
            line = encoder.encode(dict(zip(names, map(_plain, row), strict=True))) + b"\n"
            size += len(line)
            if size > request.max_bytes:
                raise BadTrainingData(f"The rows of the query take more than {request.max_bytes} bytes.")
            file.write(line)
    return n_rows


def _checked(names: Sequence[str]) -> Sequence[str]:
    if len(set(names)) < len(names):
        raise BadTrainingData("Two columns of the query have one name; the operator must rename one (select … as …).")
    return names


def _plain(value: Any) -> Any:
    """Decimals become floats, whole ones too; documents and arrays their text: a cell holds one value."""
    if isinstance(value, Decimal):
        return float(value)
    return msgspec.json.encode(value, enc_hook=str).decode() if isinstance(value, dict | list | tuple) else value


def _sqlite_rows(request: QueryRequest) -> Generator[Sequence[Any]]:
    path = Path(request.url.removeprefix("sqlite:///"))
    deadline = time.monotonic() + request.timeout_s
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("pragma query_only = on")
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        cursor = connection.execute(request.query, request.values)
        yield [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield from rows


def _postgres_rows(request: QueryRequest) -> Generator[Sequence[Any]]:
    import psycopg

    options = f"-c statement_timeout={int(request.timeout_s * 1000)} -c default_transaction_read_only=on"
    with psycopg.connect(request.url, options=options, connect_timeout=_CONNECT_S) as connection:
        connection.read_only = True
        with connection.cursor(name="modelpool_rows") as cursor:  # on the server: rows come as they are read
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(to_psycopg(request.query).encode(), request.values)
            assert cursor.description is not None
            yield [column.name for column in cursor.description]
            yield from cursor


def to_psycopg(query: str) -> str:
    """Return the query with ``%(name)s`` for ``:name``, but not inside texts, names and comments, nor for ``::``."""

    def replace(match: re.Match[str]) -> str:
        return f"%({match[1]})s" if match[1] else match[0]

    return _TOKENS.sub(replace, query.replace("%", "%%"))


def explain(error: Exception, *, source: str) -> str:
    """Return a sentence for whoever asked: no address, no user, no text of the query."""
    diagnosis = getattr(getattr(error, "diag", None), "message_primary", None)
    if isinstance(error, BadTrainingData):
        return error.detail
    if isinstance(error, MemoryError):
        return f"The rows of source {source!r} are too large for the memory of the process that reads them."
    if "interrupted" in str(error) or "statement timeout" in str(error):
        return f"The query of source {source!r} took longer than the operator allows."
    if diagnosis:
        return f"The database of source {source!r} refused the query: {diagnosis}."
    return f"The database of source {source!r} cannot be asked now; the log of the worker tells the operator why."
