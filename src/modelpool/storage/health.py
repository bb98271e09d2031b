"""Telling the database which stores fail on this node, and looking whether they work again."""

from __future__ import annotations

import logging
import socket
import threading
import time
from datetime import timedelta

from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from modelpool.core.errors import ModelpoolError
from modelpool.storage.models import StoreTrouble
from modelpool.storage.stores import get_store
from modelpool.storage.watched import TROUBLES, Troubles

logger = logging.getLogger(__name__)

LOOK_S = 5.0
"""How often a store that failed is looked at again."""

_SHOWN = timedelta(days=1)
_KEPT = timedelta(days=30)
_PAUSE_S = 1.0


class StoreWatch:
    """A thread that sleeps until a store fails in this process, tells of it, and looks until the store works again."""

    def __init__(self, *, node: str = "", troubles: Troubles = TROUBLES) -> None:
        self._node = (node or socket.gethostname())[:255]
        self._troubles = troubles
        self._looked_at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="modelpool-stores", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self, *, timeout_s: float = 2.0) -> None:
        """End; a store that does not answer at this moment is not waited for."""
        self._stop.set()
        self._troubles.wake()
        self._thread.join(timeout_s)

    def tell(self) -> None:
        """Write what has changed; what the database does not take is told the next time."""
        told = self._troubles.take()
        if not told:
            return
        rows = [
            StoreTrouble(
                node=self._node,
                store=trouble.store[:63],
                failed_at=trouble.failed_at,
                detail=trouble.detail,
                worked_at=trouble.worked_at,
            )
            for trouble in told
        ]
        try:
            StoreTrouble.objects.bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["node", "store"],
                update_fields=["failed_at", "detail", "worked_at"],
            )
            StoreTrouble.objects.filter(failed_at__lt=timezone.now() - _KEPT).delete()
        except DatabaseError:
            self._troubles.give_back(told)
            raise

    def look(self) -> None:
        """Look whether the stores that failed work again; the stores themselves tell what is found."""
        for alias in self._troubles.failing():
            try:
                get_store(alias).check()
            except ModelpoolError as error:
                logger.info("the store %s still fails: %s", alias, error)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._troubles.wait(LOOK_S)
            if self._stop.wait(_PAUSE_S):  # a store that fails in many ways is told of once a second
                break
            close_old_connections()
            try:
                if time.monotonic() - self._looked_at > LOOK_S:
                    self.look()
                    self._looked_at = time.monotonic()
                self.tell()
            except DatabaseError as error:
                logger.warning("that a store fails could not be written: %s", error)
            except Exception:  # the edge of a thread that must not end
                logger.exception("stores that failed could not be looked at")
            close_old_connections()


def troubles_lately() -> list[StoreTrouble]:
    """Return the last failures of stores of the last day, by node; those that fail now first."""
    rows = StoreTrouble.objects.filter(failed_at__gt=timezone.now() - _SHOWN).order_by("node", "store")
    return sorted(rows, key=lambda row: not row.fails_now)
