"""Making a home ready to be served: secret, tables, stores, trainers. ``serve`` runs it as a child.

Every step looks first and changes nothing that is there, so that the second start takes a moment. Runs in a process
of its own, because the supervisor does without Django.
"""

from __future__ import annotations

import fcntl
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelpool import conf
from modelpool.core.errors import ConfigurationError, ModelpoolError
from modelpool.server.processes.startup import EXIT_CONFIGURATION, set_up_django
from modelpool.server.telemetry.logs import configure_logging
from modelpool.storage.temporary import old_files, remove_files

logger = logging.getLogger(__name__)


def main() -> None:
    """Prepare ``MODELPOOL_HOME``; exit code 78 means that the settings are wrong, 1 that something does not answer."""
    try:
        configure_logging(conf.settings().server)
        prepare_home()
    except ModelpoolError as error:
        print(f"modelpool: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else 1)


def prepare_home() -> None:
    """Do all steps, one process at a time; Django is set up afterwards."""
    home = conf.home().prepare()
    with _alone(home.path / ".prepare.lock"):
        set_up_django()
        migrate_if_needed()
        prepare_stores()
        sign_older_versions()
        refresh_trainers()
        remove_files(old_files(home.tmp_dir, older_than_s=conf.settings().limits.orphan_grace))


def prepare_database() -> None:
    """Set Django up and create the tables of a new database; for commands that need no more.

    An older database is left alone, since a server of the older version may be running on it: raises
    :class:`ConfigurationError` that says how to migrate.
    """
    home = conf.home().prepare()
    with _alone(home.path / ".prepare.lock"):
        set_up_django()
        from django.db import connection

        with in_words():
            if "django_migrations" in connection.introspection.table_names():
                refuse_old_tables()
            else:
                migrate_if_needed()


@contextmanager
def in_words() -> Iterator[None]:
    """Turn the database's silence into a sentence."""
    from django.db import OperationalError

    try:
        yield
    except OperationalError as error:
        raise ConfigurationError(f"database.url: the database does not answer: {str(error).strip()}") from error


def refuse_old_tables() -> None:
    """Raise :class:`ConfigurationError` when the database lacks migrations of this version."""
    from modelpool.server.migrations import has_pending_migrations

    if has_pending_migrations():
        raise ConfigurationError(
            "The database is of an older version; start 'modelpool serve', or run 'modelpool manage migrate'."
        )


def migrate_if_needed() -> None:
    """Apply the migrations that are missing; on PostgreSQL one server at a time does it."""
    from django.core.management import call_command
    from django.core.management.commands.migrate import Command
    from django.db import connection

    from modelpool.server.migrations import apply_migrations, has_pending_migrations

    with in_words():
        if has_pending_migrations():
            logger.info("applying migrations to the database")
            apply_migrations(lambda: call_command(Command(), interactive=False, verbosity=0), database=connection)
            connection.close()


def prepare_stores() -> None:
    """Write the marker of each new store; one that is not there is said, and does not keep the server from starting."""
    from modelpool.storage.services import get_store

    for alias in sorted(conf.settings().stores):
        try:
            get_store(alias).check()
        except ModelpoolError as error:
            logger.error("store %s: %s", alias, error)


def sign_older_versions() -> None:
    """Make the keys of manifests; the first start with them signs what was registered before."""
    from django.db import connection

    from modelpool.registry.resigning import prepare_signing
    from modelpool.server.migrations import migration_lock

    with in_words():
        with migration_lock(connection):
            report = prepare_signing(lambda signed: logger.info("signed %d versions from before", signed))
        connection.close()
    if report.signed:
        logger.info("signed all %d versions from before", report.signed)
    for sentence in report.refused:
        logger.error("not signed, so it will not be loaded: %s", sentence)


def refresh_trainers() -> None:
    """Fill the catalogue of trainers when it is empty, so that the first request can train; workers keep it."""
    from django.db import DatabaseError

    from modelpool.training.child_tasks import TaskInterrupted
    from modelpool.training.models import TrainerInfo
    from modelpool.training.services import refresh_catalogue

    try:
        if not TrainerInfo.objects.exists():
            refresh_catalogue()
    except (ModelpoolError, DatabaseError, TaskInterrupted):
        logger.exception("the catalogue of trainers could not be filled; the job workers will try again")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
