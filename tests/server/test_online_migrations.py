"""Each migration on a filled PostgreSQL, while others go on reading every table; and one that cannot get its lock."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, migrations, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState
from psycopg import sql

from modelpool.server import migrations as online
from modelpool.server.migrations import apply_migrations
from modelpool.tenants.online import AddIndexOnline
from tests.sandbox import sandbox
from tests.server.migrated_rows import FIRST, ROWS, N
from tests.servers.postgres import PostgresServer
from tests.servers.scratch import ALIAS, scratch_connection
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(180)]
PATIENT_MS = 2000
"""A reader that waits longer fails; a migration gives way earlier."""
_TABLES = r"SELECT tablename FROM pg_tables WHERE tablename LIKE 'modelpool\_%' ORDER BY 1"

_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
_IDLE = f"{_SESSIONS} query LIKE '%pg_try_advisory_lock(%' AND state = 'idle'"
_BUILDING = f"{_SESSIONS} query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"


@dataclass
class Reader:
    """Reads the first columns of all tables in short transactions, and keeps what went wrong."""

    url: str
    facts: dict[str, Any]
    rounds: int = 0
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Read until told to stop."""
        with psycopg.connect(self.url) as connection:
            connection.execute(f"SET lock_timeout = {PATIENT_MS}")
            connection.commit()
            while not self._stop.is_set() and not self.wrong:
                self._read_all(connection)
                self.rounds += 1

    def _read_all(self, connection: psycopg.Connection[Any]) -> None:
        for table, expected in self.facts.items():
            try:
                with connection.transaction():
                    found = digest_of(connection, table, expected[0])
            except psycopg.Error as error:
                self.wrong.append(f"{table}: {error}")
                return
            if found != expected[1]:
                self.wrong.append(f"{table}: {found} for {expected[1]}")

    def stop(self) -> None:
        """End after this round."""
        self._stop.set()


def digest_of(connection: psycopg.Connection[Any], table: str, columns: list[str]) -> tuple[Any, ...]:
    row = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("SELECT count(*), sum(hashtext(ROW({})::text)) FROM {}").format(row, sql.Identifier(table))
    return connection.execute(query).fetchone() or ()


def facts_of(url: str, *, tables: list[str] | None = None) -> dict[str, Any]:
    """Return columns and digest of each table, as it is now."""
    with psycopg.connect(url) as connection:
        names = tables or [name for (name,) in connection.execute(_TABLES)]
        facts = {}
        for name in names:
            found = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY 1", [name]
            )
            columns = [column for (column,) in found]
            facts[name] = (columns, digest_of(connection, name, columns))
        return facts


@contextmanager
def reading(url: str, facts: dict[str, Any]) -> Iterator[Reader]:
    """Read all the while, at least one round before and one after."""
    reader = Reader(url, facts)
    thread = threading.Thread(target=reader.run)
    thread.start()
    try:
        wait_until(lambda: reader.rounds > 0 or reader.wrong)
        yield reader
        before = reader.rounds
        wait_until(lambda: reader.rounds > before + 1 or reader.wrong)
    finally:
        reader.stop()
        thread.join()
    assert reader.wrong == []


@pytest.fixture(scope="module")
def template(postgres_server: PostgresServer, django_db_blocker: Any) -> str:
    """The name of a database with the first migrations of our apps, and rows."""
    name = "online_template"
    url = postgres_server.create_database(name)
    with django_db_blocker.unblock(), scratch_connection(url, sandbox()) as connection:
        MigrationExecutor(connection).migrate(FIRST)
    with psycopg.connect(url) as connection:
        connection.execute(ROWS)
    return name


@pytest.fixture
def url(postgres_server: PostgresServer, template: str) -> str:
    """A copy of it."""
    name = f"online_{uuid.uuid4().hex[:12]}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    postgres_server.execute(copy)
    return postgres_server.url(name)


@pytest.fixture
def filled(url: str, tmp_path: Path, django_db_blocker: Any) -> Iterator[BaseDatabaseWrapper]:
    """Django's connection to it."""
    with django_db_blocker.unblock(), scratch_connection(url, tmp_path) as connection:
        yield connection


def steps(database: BaseDatabaseWrapper) -> list[tuple[str, str]]:
    """Return what is still to be applied, in order."""
    executor = MigrationExecutor(database)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [(migration.app_label, migration.name) for migration, _ in plan]


def test_readers_go_on_during_each_migration(filled: BaseDatabaseWrapper, url: str) -> None:
    todo = steps(filled)
    assert ("registry", "0002_activation_stack") in todo
    for app, name in todo:
        with reading(url, facts_of(url)):
            call_command("migrate", app, name, database=ALIAS, interactive=False, verbosity=0)
    assert steps(filled) == []
    with psycopg.connect(url) as connection:
        stacks = connection.execute(
            "SELECT array_agg(ARRAY[sequence, below, number] ORDER BY sequence)::text, count(*) "
            "FROM (SELECT * FROM modelpool_activation ORDER BY sequence) a GROUP BY model_id"
        ).fetchall()
    assert set(stacks) == {("{{1,NULL,1},{2,1,2},{3,2,3}}", 3)}
    assert len(stacks) == N


def test_a_migration_gives_way_to_readers_and_is_tried_again(filled: BaseDatabaseWrapper, url: str) -> None:
    facts = facts_of(url)
    with psycopg.connect(url) as holder, reading(url, facts):
        holder.execute("SELECT count(*) FROM modelpool_activation")  # keeps its share of the lock until it commits
        attempts = 0

        def migrate() -> None:
            nonlocal attempts
            attempts += 1
            if attempts == 2:
                holder.commit()
            MigrationExecutor(filled).migrate([("registry", "0002_activation_stack")])

        apply_migrations(migrate, database=filled)
    assert attempts == 2
    assert _lock_timeout(filled) == "10s"


def test_a_migration_that_never_gets_its_lock_leaves_nothing_half_done(
    filled: BaseDatabaseWrapper, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "PATIENCE_S", 1.0)
    facts, todo = facts_of(url), steps(filled)
    with psycopg.connect(url, application_name="report") as holder, reading(url, facts):
        holder.execute("SELECT count(*) FROM modelpool_activation")
        with pytest.raises(CommandError, match=r"did not get its lock and was rolled back; .*\(report, \d+ s\)"):
            call_command("migrate", "registry", "0002", database=ALIAS, interactive=False, verbosity=0)
        holder.commit()
    assert (facts_of(url), steps(filled)) == (facts, todo)
    call_command("migrate", "registry", "0002", database=ALIAS, interactive=False, verbosity=0)
    assert ("registry", "0002_activation_stack") not in steps(filled)


def test_another_fault_is_told_at_once(filled: BaseDatabaseWrapper) -> None:
    calls: list[int] = []

    def fails() -> None:
        calls.append(1)
        with filled.cursor() as cursor:
            cursor.execute("SELECT nonsense")

    with pytest.raises(ProgrammingError):
        apply_migrations(fails, database=filled)
    assert calls == [1]


def test_one_process_migrates_and_the_other_waits_outside_any_statement(filled: BaseDatabaseWrapper, url: str) -> None:
    lock = f"SELECT pg_advisory_{{}}({online._LOCK})"
    with psycopg.connect(url, autocommit=True) as other, psycopg.connect(url, autocommit=True) as watch:
        other.execute(lock.format("lock"))
        done = threading.Event()

        def release() -> None:
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_try_advisory_lock%%' AND state = 'idle'"
            )
            wait_until(lambda: watch.execute(waiting).fetchone() == (1,))
            assert not done.is_set()
            other.execute(lock.format("unlock"))

        thread = threading.Thread(target=release)
        thread.start()
        apply_migrations(done.set, database=filled)
        thread.join()
    assert done.is_set()


class _Indexed(migrations.Migration):
    atomic = False
    operations = [AddIndexOnline("registeredmodel", models.Index(fields=["updated_at"], name="model_by_change"))]


def _apply(database: BaseDatabaseWrapper, state: ProjectState, *, backwards: bool = False) -> None:
    migration = _Indexed("indexed", "registry")
    with database.schema_editor(atomic=False) as editor:
        (migration.unapply if backwards else migration.apply)(state.clone(), editor)


def _lock_timeout(database: BaseDatabaseWrapper) -> str:
    with database.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return str(cursor.fetchone()[0])


def _indexes(url: str) -> list[tuple[Any, ...]]:
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('model_by_change')"
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(query).fetchall()


def test_an_index_is_built_while_rows_are_written(filled: BaseDatabaseWrapper, url: str) -> None:
    state = MigrationExecutor(filled).loader.project_state(FIRST)
    with psycopg.connect(url) as writer, psycopg.connect(url, autocommit=True) as watch:
        writer.execute("UPDATE modelpool_model SET last_number = 4 WHERE last_number = 3")

        def write_meanwhile() -> None:
            wait_until(lambda: watch.execute(_BUILDING).fetchone() == (1,))
            watch.execute("UPDATE modelpool_model SET description = 'changed' WHERE name = 'none'")
            writer.commit()

        thread = threading.Thread(target=write_meanwhile)
        thread.start()
        _apply(filled, state)
        thread.join()
    assert (_indexes(url), _lock_timeout(filled)) == ([(True,)], "10s")
    _apply(filled, state, backwards=True)
    assert _indexes(url) == []


def test_an_index_that_was_left_invalid_is_built_anew(filled: BaseDatabaseWrapper, url: str) -> None:
    state = MigrationExecutor(filled).loader.project_state(FIRST)
    with psycopg.connect(url, autocommit=True) as connection, psycopg.connect(url) as writer:
        writer.execute("UPDATE modelpool_model SET last_number = 4")
        connection.execute("SET statement_timeout = 300")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("CREATE INDEX CONCURRENTLY model_by_change ON modelpool_model (updated_at)")
    assert _indexes(url) == [(False,)]
    _apply(filled, state)
    assert _indexes(url) == [(True,)]
