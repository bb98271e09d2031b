"""Taking connections from the socket that all web processes of a node share, so that each gets its part of them.

The kernel wakes every process that waits at a shared socket, and the first to look takes what is there. A client that
opens sixteen connections may so find all of them in one process, while the others have nothing to do.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

from modelpool.server.connections.seats import Seat

logger = logging.getLogger(__name__)

_LET_OTHERS_S = 0.002
_MOST_DOUBLINGS = 10
_SHORT_S = 0.1
_MOST_SHORT = 16
_SHORT_OF_MEANS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_S = 0.5


class Connection(Protocol):
    """The protocol of a connection; when that has ended it calls ``on_lost``, and forgets it."""

    on_lost: Callable[[], None] | None


class Acceptor:
    """Takes connections from ``listening`` in the running loop, one in each turn, and makes a protocol for each.

    While another process holds fewer than this one, it leaves a connection that arrives to that one for two
    milliseconds. If nobody has taken it by then, the other is busy, or stands still: it is taken here after all, and
    each time that this was waited for in vain, twice as many come without another wait. Nor is there one where
    connections come and go all the time: those share themselves out.
    """

    def __init__(self, listening: socket.socket, make_protocol: Callable[[], asyncio.Protocol], *, seat: Seat) -> None:
        self._listening = listening
        self._make_protocol = make_protocol
        self._seat = seat
        self._loop = asyncio.get_running_loop()
        self._held = 0
        self._doublings = 0
        self._unwaited = 0
        self._short_lived = 0
        self._short_until = 0.0
        self._paused: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def start(self) -> None:
        """Begin to take connections."""
        self._listening.setblocking(False)
        self._seat.hold(0)
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        """Take no more, and close the socket in this process; those that were taken go on."""
        if self._is_closed:
            return
        self._is_closed = True
        self._seat.leave()
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()

    def _accept(self) -> None:
        if self._are_short_lived() or not self._has_more_than_others():
            self._doublings = self._unwaited = 0
            self._take()
        elif self._unwaited:
            self._unwaited -= 1
            self._take()
        else:
            self._pause(_LET_OTHERS_S)

    def _take(self) -> bool:
        """Take a connection, and say whether there was one."""
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # another process took it, or it has gone
            return False
        except OSError as error:
            if error.errno not in _SHORT_OF_MEANS:
                raise
            logger.error("no connection can be taken: %s", error.strerror)
            self._pause(_RETRY_S)
            return False
        connection.setblocking(False)
        self._count(1)
        task = self._loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, connection: socket.socket) -> None:
        protocol = self._make_protocol()
        cast("Connection", protocol).on_lost = partial(self._lost, self._loop.time() + _SHORT_S)
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError:  # the client has gone in this moment
            connection.close()
            if cast("Connection", protocol).on_lost is not None:
                self._count(-1)

    def _has_more_than_others(self) -> bool:
        fewest = self._seat.fewest_of_others()
        return fewest is not None and self._held > fewest

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening.fileno())
        self._paused = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listening.fileno(), self._accept)
        if self._take():
            self._unwaited = 2**self._doublings - 1
            self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)

    def _lost(self, was_short_until: float) -> None:
        self._count(-1)
        now = self._loop.time()
        if now < was_short_until:
            self._short_lived = min(self._short_lived + 2, _MOST_SHORT)
            self._short_until = now + _SHORT_S

    def _are_short_lived(self) -> bool:
        """Whether connections end as fast as they come; each that comes takes one off what those that ended put on."""
        if not self._short_lived:
            return False
        self._short_lived = self._short_lived - 1 if self._loop.time() < self._short_until else 0
        return self._short_lived > 0

    def _count(self, change: int) -> None:
        self._held += change
        if not self._is_closed:
            self._seat.hold(self._held)
