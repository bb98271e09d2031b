"""When keys were last used, to the minute: what an admin looks at before revoking one."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connection, transaction

from modelpool.tenants.authentication import note_use

logger = logging.getLogger(__name__)

EVERY_S = 60.0
_MOST_KEYS = 10_000
_WAIT_MS = 200

_noted: dict[str, float] = {}


def key_was_used(digest: str) -> None:
    """Note it, once a minute for each key and process; a database that cannot be written to does not matter here."""
    now = time.monotonic()
    if now - _noted.get(digest, -EVERY_S) < EVERY_S:
        return
    if len(_noted) >= _MOST_KEYS:
        _noted.clear()
    _noted[digest] = now
    try:
        with _hardly_waiting(), transaction.atomic():
            note_use(digest)
    except DatabaseError as error:
        logger.warning("when a key was last used could not be written: %s", error)


@contextmanager
def _hardly_waiting() -> Iterator[None]:
    """SQLite has one writer for all, and a request that only reads must not wait for it; others lock one row."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        (usual_ms,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {_WAIT_MS}")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {usual_ms:d}")
