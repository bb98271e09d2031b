"""A PostgreSQL database beside the one of the tests, under an alias of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from modelpool.conf import DatabaseSettings, Home
from modelpool.server.database import database_settings

ALIAS = "scratch"


@contextmanager
def scratch_connection(url: str, folder: Path) -> Iterator[BaseDatabaseWrapper]:
    """Let Django know the database under :data:`ALIAS`."""
    connections.settings[ALIAS] = database_settings(DatabaseSettings(url=url), home=Home(folder))
    connections.configure_settings(connections.settings)
    try:
        yield connections[ALIAS]
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]
