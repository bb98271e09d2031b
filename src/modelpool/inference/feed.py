"""One thread that reads the change feed, so that what is cached is never older than a moment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from modelpool.core.errors import DatabaseUnavailable
from modelpool.inference.listening import Listener
from modelpool.tenants.changes import changes_after, last_change_id
from modelpool.tenants.models import Change

logger = logging.getLogger(__name__)

POLL_S = 0.3
LISTENING_POLL_S = 0.9
"""How often the feed is read, without a notice, where the database announces changes: a notice that is lost, on a
network that has just broken, delays a change by no more than the second that is promised."""
_LATE_NOTICE_S = 1.0
MAX_STALENESS_S = 30.0
"""For so long predictions go on from what is cached while the database does not answer; then they get 503."""

_MAX_PAUSE_S = 0.8
_BATCH = 1000
_IDLE_END_S = 5.0


class ChangeFeed:
    """Reads at each notice of the database, and every :data:`POLL_S` where there are none.

    Calls ``on_changes`` with what is new, ``on_reset`` when entries may be missed.
    A handler that raises for want of the database is called again with the same changes; any other error is answered
    with ``on_reset``, so that one change cannot stop the feed for ever. ``on_idle`` is called about every ``idle_s``,
    in a thread of its own: what it writes may wait long for a database that can still be read.
    """

    def __init__(
        self,
        *,
        on_changes: Callable[[Sequence[Change]], None],
        on_reset: Callable[[], None],
        on_idle: Callable[[], None] = lambda: None,
        idle_s: float = 60.0,
        max_staleness_s: float = MAX_STALENESS_S,
    ) -> None:
        self._on_changes = on_changes
        self._on_reset = on_reset
        self._on_idle = on_idle
        self._idle_s = idle_s
        self._max_staleness_s = max_staleness_s
        self._last_id = -1
        self._failures = 0
        self._idle_at = time.monotonic() + idle_s
        self._listener: Listener | None = None
        self._stop = threading.Event()
        self._started = threading.Event()
        self._idle_work = threading.Thread(target=self._be_idle, daemon=True)
        self._thread = threading.Thread(target=self._run, name="modelpool-feed", daemon=True)
        self.read_at = float("-inf")
        self.valid_until = float("-inf")

    @property
    def is_fresh(self) -> bool:
        """Whether what is cached may be trusted now."""
        return time.monotonic() < self.valid_until

    def start(self, *, timeout_s: float = 5.0) -> None:
        """Start the thread, and wait until it has read the feed once; a database that is down only delays that."""
        self._listener = Listener()
        self._thread.start()
        self._started.wait(timeout_s)

    def stop(self) -> None:
        """End the thread and its connection."""
        if self._listener is not None and not self._stop.is_set():
            self._listener.wake()  # before the thread is told to end, and closes it
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._idle_work.is_alive():
            self._idle_work.join(_IDLE_END_S)

    def _run(self) -> None:
        assert self._listener is not None
        listener, was_told = self._listener, True
        while not self._stop.is_set():
            was_listening = listener.is_listening
            listener.ensure()  # before reading: what is committed later is announced
            last_id = self._last_id
            self._step()
            is_unannounced = was_listening and not was_told and -1 < last_id < self._last_id
            if is_unannounced and not listener.wait(_LATE_NOTICE_S) and listener.is_listening:
                listener.distrust()
            was_told = listener.wait(self._pause_s(is_listening=listener.is_listening))
        listener.close()
        self._close_connection()

    def _pause_s(self, *, is_listening: bool) -> float:
        if is_listening and not self._failures:
            return LISTENING_POLL_S
        return min(POLL_S * (1 << min(self._failures, 8)), _MAX_PAUSE_S)

    def _step(self) -> None:
        began = time.monotonic()
        try:
            self._poll()
        except Exception as error:  # the edge of a thread that must not end
            if not self._failures:
                logger.exception("the change feed cannot be read; predictions go on for %g s", self._max_staleness_s)
            if not isinstance(error, DatabaseError | DatabaseUnavailable):
                self._last_id = -1  # a change that cannot be handled: forgetting everything is as good
            self._failures += 1
            self._close_connection()
            return
        if self._failures:
            logger.info("the change feed can be read again")
        self._failures = 0
        self.read_at = began
        self.valid_until = began + self._max_staleness_s
        self._started.set()
        self._begin_idle_work()

    def _poll(self) -> None:
        close_old_connections()
        if self._last_id < 0 or not self.is_fresh:
            self._begin_again()
        else:
            self._read_on()

    def _begin_idle_work(self) -> None:
        if time.monotonic() < self._idle_at or self._idle_work.is_alive():
            return
        self._idle_at = time.monotonic() + self._idle_s
        self._idle_work = threading.Thread(target=self._be_idle, name="modelpool-feed-idle", daemon=True)
        self._idle_work.start()

    def _be_idle(self) -> None:
        try:
            self._on_idle()
        finally:
            self._close_connection()

    def _begin_again(self) -> None:
        """Start at the end of the feed; what was cached before is worth nothing."""
        last_id = last_change_id()
        self._on_reset()
        self._last_id = last_id

    def _read_on(self) -> None:
        """Read what is new. The entry read last, or a newer one, is always there; where not, the feed is another."""
        found = changes_after(max(self._last_id - 1, 0), limit=_BATCH)
        if not found and self._last_id > 0:
            self._begin_again()
            return
        new = [change for change in found if change.id > self._last_id]
        if new:
            self._on_changes(new)
            self._last_id = new[-1].id

    def _close_connection(self) -> None:
        try:
            connection.close()
        except Exception:  # a connection that is already broken
            logger.debug("closing the feed's connection failed", exc_info=True)
