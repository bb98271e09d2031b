"""When keys were last used, to the minute: what an admin looks at before revoking one."""

from __future__ import annotations

import logging
import time

from django.db import DatabaseError, transaction

from modelpool.tenants.authentication import note_use

logger = logging.getLogger(__name__)

EVERY_S = 60.0
_MOST_KEYS = 10_000

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
        with transaction.atomic():
            note_use(digest)
    except DatabaseError:
        logger.warning("when a key was last used could not be written", exc_info=True)
