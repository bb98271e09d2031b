"""Hearing of changes at once: a connection of its own to PostgreSQL that LISTENs, where there is one."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from modelpool.tenants.changes import CHANNEL

logger = logging.getLogger(__name__)

RETRY_S = 5.0
DISTRUST_S = 60.0
"""For so long nobody listens after a change that was not announced, as behind a pooler of transactions."""


class Listener:
    """Waits for notices of the change feed; used by one thread, and woken by any.

    Nothing depends on a notice: who waits here reads the feed afterwards in any case. Where there are none (SQLite, a
    broken connection, a pooler between) waiting is only waiting.
    """

    def __init__(self) -> None:
        self._connection: BaseDatabaseWrapper | None = None
        self._try_at = float("-inf")
        self._wake_read, self._wake_write = socket.socketpair()

    @property
    def is_listening(self) -> bool:
        """Whether notices are expected to arrive."""
        return self._connection is not None

    def ensure(self) -> None:
        """Listen, if the database can and was not just seen to fail; what is read after this is announced or there."""
        if self.is_listening or connection.vendor != "postgresql" or time.monotonic() < self._try_at:
            return
        self._try_at = time.monotonic() + RETRY_S
        private = connection.copy()
        private.settings_dict["OPTIONS"].pop("pool", None)  # it would keep one from those who share
        try:
            with private.cursor() as cursor:
                cursor.execute(f"LISTEN {CHANNEL}")
        except Exception as error:  # noqa: BLE001  in a thread that must not end
            logger.warning("changes are not heard of at once, only polled for: %s", str(error).strip())
            _close(private)
        else:
            self._connection = private

    def wait(self, timeout_s: float) -> bool:
        """Return whether a notice came within ``timeout_s``; sooner when woken or when the connection broke."""
        channels: list[Any] = [self._wake_read]
        if self._connection is not None:
            channels.append(self._connection.connection)
        try:
            ready = _readable(channels, timeout_s)
            return len(ready) > 0 and self._wake_read not in ready and self._drain()
        except (DatabaseError, OSError, ValueError) as error:  # ValueError: a descriptor that is closed already
            logger.info("the connection that hears of changes broke: %s", str(error).strip())
            self._drop()
            return False

    def wake(self) -> None:
        """End the waiting, now and for ever."""
        self._wake_write.send(b".")

    def distrust(self) -> None:
        """Stop listening for a while: a change was there that nobody announced."""
        logger.warning("a change was not announced by the database; is there a pooler of transactions between?")
        self._drop()
        self._try_at = time.monotonic() + DISTRUST_S

    def close(self) -> None:
        """End the connection; the listener cannot be used again."""
        self._drop()
        self._wake_read.close()
        self._wake_write.close()

    def _drain(self) -> bool:
        assert self._connection is not None
        with self._connection.wrap_database_errors:
            return len(list(self._connection.connection.notifies(timeout=0))) > 0

    def _drop(self) -> None:
        """Forget a connection, broken or not; :meth:`ensure` may try again at once."""
        if self._connection is not None:
            _close(self._connection)
        self._connection = None


def _readable(channels: list[Any], timeout_s: float) -> list[Any]:
    with selectors.DefaultSelector() as selector:  # select() knows no descriptors above 1023
        for channel in channels:
            selector.register(channel, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(max(timeout_s, 0))]


def _close(private: BaseDatabaseWrapper) -> None:
    try:
        private.close()
    except DatabaseError:
        logger.debug("closing the listening connection failed", exc_info=True)
