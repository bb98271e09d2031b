"""Whether the database is as new as the code, and making it so by one process at a time while others go on reading."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from modelpool.core.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 1.0
"""How long a migration waits for a table, since all who want to read it then queue behind the migration."""
PATIENCE_S = 120.0
"""How long it is tried again; in between, whoever queued has the table."""
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 10.0
_POLL_S = 0.2
_LOCK = 0x6D706D6967  # PostgreSQL advisory lock of migrations: "mpmig"
_NOT_NOW = frozenset({"55P03", "40P01"})  # lock_not_available, deadlock_detected
_LONGEST_TRANSACTIONS = """
SELECT pid, coalesce(nullif(application_name, ''), backend_type), extract(epoch FROM now() - xact_start)::int
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND now() - xact_start > interval '1 s'
ORDER BY xact_start LIMIT 3
"""


def has_pending_migrations() -> bool:
    """Say whether the code knows migrations that the database has not seen."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def apply_migrations(
    migrate: Callable[[], object], *, database: BaseDatabaseWrapper, patience_s: float | None = None
) -> None:
    """Call ``migrate`` until it gets its locks, without keeping readers from their tables for longer than a moment.

    A migration that does not get a lock is rolled back as a whole, and those before it stay; so ``migrate`` has to go
    on where it was, as Django's does. Raises :class:`DatabaseUnavailable` that names who has long transactions when
    ``patience_s`` (:data:`PATIENCE_S`) are over.
    """
    with migration_lock(database):
        if database.vendor != "postgresql":
            migrate()
            return
        _set_lock_timeout(database, LOCK_TIMEOUT_S)
        _try_for(PATIENCE_S if patience_s is None else patience_s, migrate, database=database)


@contextmanager
def migration_lock(database: BaseDatabaseWrapper) -> Iterator[None]:
    """Hold the right to migrate, on PostgreSQL, and lift the limits on time; SQLite's own lock is enough there."""
    if database.vendor != "postgresql":
        yield
        return
    with database.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET lock_timeout = 0")
    _take_turn(database)
    try:
        yield
    finally:
        _end_turn(database)


def _take_turn(database: BaseDatabaseWrapper) -> None:
    """Ask again and again: whoever waits in a statement is waited for by an index that is built concurrently."""
    is_told = False
    while True:
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
            if cursor.fetchone()[0]:
                return
        if not is_told:
            logger.info("waiting for another process, which is migrating the database")
            is_told = True
        time.sleep(_POLL_S)


def _end_turn(database: BaseDatabaseWrapper) -> None:
    """With the connection, the lock is gone as well."""
    if database.connection is None or not database.is_usable():
        return
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
        cursor.execute("RESET lock_timeout")
        cursor.execute("RESET statement_timeout")


def _try_for(patience_s: float, migrate: Callable[[], object], *, database: BaseDatabaseWrapper) -> None:
    deadline, pause_s = time.monotonic() + patience_s, _PAUSE_S
    while True:
        try:
            migrate()
            return
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in _NOT_NOW:
                raise
            whose = _who_is_in_the_way(database)
            if time.monotonic() + pause_s >= deadline:
                raise DatabaseUnavailable(_given_up(whose), retry_after_s=_LONGEST_PAUSE_S) from error
            logger.warning("a migration did not get its lock, and is tried again in %g s; %s", pause_s, whose)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _given_up(whose: str) -> str:
    return (
        f"A migration of the database did not get its lock and was rolled back; {whose}. "
        "End what keeps the tables, then start again: migrations go on where they were."
    )


def _who_is_in_the_way(database: BaseDatabaseWrapper) -> str:
    with database.cursor() as cursor:
        cursor.execute(_LONGEST_TRANSACTIONS)
        found = [f"process {pid} ({name}, {seconds} s)" for pid, name, seconds in cursor.fetchall()]
    return f"the longest transactions are of {', '.join(found)}" if found else "no transaction is long"


def _set_lock_timeout(database: BaseDatabaseWrapper, seconds: float) -> None:
    with database.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {int(seconds * 1000)}")
