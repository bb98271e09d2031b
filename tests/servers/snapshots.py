"""The migrated test database, put back as it was after each test that commits.

Django's own way is to empty all tables. That would take away the rows which migrations made, and the audit trail
refuses it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from psycopg import sql

from tests.servers.postgres import PostgresServer


def take_sqlite_snapshot(database: Path) -> Callable[[], None]:
    """Copy the file, and return what puts the copy back, also under connections that are still open."""
    pristine = database.with_suffix(".pristine")
    _copy_sqlite(database, pristine)
    return lambda: _copy_sqlite(pristine, database)


def take_postgres_snapshot(server: PostgresServer, database: str) -> Callable[[], None]:
    """Make a template of the database, and return what creates it anew from there; open connections are cut."""
    pristine = f"{database}_pristine"
    _copy_postgres(server, database, pristine)
    return lambda: _copy_postgres(server, pristine, database)


def _copy_sqlite(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target, timeout=20)) as new:
        old.backup(new)


def _copy_postgres(server: PostgresServer, source: str, target: str) -> None:
    names: dict[str, Any] = {"source": sql.Identifier(source), "target": sql.Identifier(target)}
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {target} WITH (FORCE)").format(**names))
    server.execute(sql.SQL("CREATE DATABASE {target} TEMPLATE {source}").format(**names))
