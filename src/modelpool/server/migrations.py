"""Whether the database is as new as the code, and making it so by one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

_LOCK = 0x6D706D6967  # PostgreSQL advisory lock of migrations: "mpmig"


def has_pending_migrations() -> bool:
    """Say whether the code knows migrations that the database has not seen."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


@contextmanager
def migration_lock(database: BaseDatabaseWrapper) -> Iterator[None]:
    """Hold the right to migrate, on PostgreSQL, and lift the limits on time; SQLite's own lock is enough there."""
    if database.vendor != "postgresql":
        yield
        return
    with database.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET lock_timeout = 0")
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
