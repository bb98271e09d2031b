"""Telling the registry that a version was given up: kept here, and tried again, until the database has taken it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from uuid import UUID

from modelpool.core.errors import ModelpoolError, Quarantined
from modelpool.core.runtime.pool import PoolKey
from modelpool.inference.resolution.lookup import Route, with_database
from modelpool.registry.quarantine import quarantine_version

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0

Write = Callable[[Route, str], object]


@with_database
def write_quarantine(route: Route, reason: str) -> None:
    """Put the version into quarantine, if nobody did before."""
    quarantine_version(route.key.version_id, tenant_id=route.key.tenant_id, cause="faults", reason=reason)


class QuarantineReports:
    """Versions that this process gave up; none is loaded here before the registry's word on it has arrived.

    ``write`` may raise: it is called again, later and later, in a thread that lives while there is something to write.
    What waits for that lets the others go first.
    """

    def __init__(self, write: Write = write_quarantine) -> None:
        self._write = write
        self._given_up: dict[PoolKey, str] = {}
        self._pending: dict[PoolKey, tuple[Route, str]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def report(self, route: Route, reason: str) -> None:
        """Keep it, and have it written; returns at once."""
        with self._lock:
            self._given_up[route.key] = reason
            self._pending[route.key] = (route, reason)
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="modelpool-quarantine", daemon=True)
                self._thread.start()

    def check(self, route: Route) -> None:
        """Raise :class:`Quarantined` for what was given up."""
        reason = self._given_up.get(route.key)
        if reason is not None:
            raise Quarantined(route.model, route.number, reason)

    def settle(self, models: set[UUID] | None = None) -> None:
        """What the registry says of these models, or of all, is known here: it decides on what was written."""
        with self._lock:
            known = [key for key in self._given_up if models is None or key.model_id in models]
            for key in known:
                if key not in self._pending:
                    del self._given_up[key]

    def close(self) -> None:
        """End the thread; what is not written yet is lost with the process, which counts anew when it starts again."""
        with self._lock:
            self._stop.set()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while (waiting := self._next()) is not None:
            route, reason = waiting
            try:
                self._write(route, reason)
            except ModelpoolError as error:
                logger.warning("the quarantine of version %s of %s waits: %s", route.number, route.model, error)
            except Exception:  # the edge of a thread: were it to end here, no report would be written any more
                logger.exception("the quarantine of version %s of %s cannot be written", route.number, route.model)
            else:
                pause_s = _FIRST_PAUSE_S
                with self._lock:
                    self._pending.pop(route.key, None)
                continue
            self._put_last(route.key)
            if self._stop.wait(pause_s):
                return
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _put_last(self, key: PoolKey) -> None:
        with self._lock:
            self._pending[key] = self._pending.pop(key)

    def _next(self) -> tuple[Route, str] | None:
        """Return what is to be written, or end the thread: under the lock, so that no report is left behind."""
        with self._lock:
            found = next(iter(self._pending.values()), None)
            if found is None:
                self._thread = None
            return found
