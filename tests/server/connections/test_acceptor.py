"""Processes that share a socket, each with its acceptor; here they share a loop as well."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from typing import cast

import pytest
import uvloop

from modelpool.server.connections.acceptor import Acceptor
from modelpool.server.connections.seats import Seats

CLIENTS = 24


class Named(asyncio.Protocol):
    """Says its name to whoever connects."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.on_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(bytes([self.name]))

    def connection_lost(self, exc: Exception | None) -> None:
        assert self.on_lost is not None
        self.on_lost()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        yield found


@pytest.fixture
def seats() -> Iterator[Seats]:
    found = Seats.for_processes(8)
    yield found
    os.close(found.descriptor)


def start(listening: socket.socket, seats: Seats, pid: int) -> Acceptor:
    seats.give(pid)
    acceptor = Acceptor(listening.dup(), lambda: Named(pid), seat=Seats(seats.descriptor).of(pid))
    acceptor.start()
    return acceptor


async def connect(listening: socket.socket) -> tuple[int, asyncio.StreamWriter]:
    """Return the name of who took the connection, and the connection."""
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    (name,) = await asyncio.wait_for(reader.readexactly(1), 20)
    return name, writer


async def hang_up(clients: Iterable[asyncio.StreamWriter]) -> None:
    for writer in clients:
        writer.close()
        await writer.wait_closed()


async def takers(listening: socket.socket, clients: int = 1) -> list[int]:
    """Return who took each of so many connections, all of them held at the same time."""
    taken = await asyncio.gather(*(connect(listening) for _ in range(clients)))
    await hang_up(writer for _, writer in taken)
    return [name for name, _ in taken]


def run(work: Awaitable[None]) -> None:
    async def do() -> None:
        await work

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(do())


def test_connections_that_come_at_once_are_shared_equally(listening: socket.socket, seats: Seats) -> None:
    async def work() -> None:
        with ExitStack() as stack:
            for pid in (1, 2, 3):
                stack.enter_context(closing(start(listening, seats, pid)))
            taken = await takers(listening, CLIENTS)
        assert {pid: taken.count(pid) for pid in (1, 2, 3)} == dict.fromkeys((1, 2, 3), CLIENTS // 3)

    run(work())


def test_a_process_that_stands_still_keeps_nobody_waiting(listening: socket.socket, seats: Seats) -> None:
    async def work() -> None:
        seats.give(2)
        seats.of(2).hold(0)  # and never looks at the socket
        with closing(start(listening, seats, 1)):
            taken = await takers(listening, CLIENTS)
        assert taken == [1] * CLIENTS

    run(work())


@pytest.mark.parametrize("goes", [lambda seats: seats.of(2).leave(), lambda seats: seats.take_back(2)])
def test_nothing_is_left_to_a_process_that_takes_no_more(seats: Seats, goes: Callable[[Seats], None]) -> None:
    for pid in (1, 2):
        seats.give(pid)
        seats.of(pid).hold(3)
    assert seats.of(1).fewest_of_others() == 3
    goes(seats)
    assert seats.of(1).fewest_of_others() is None


def test_a_seat_is_given_again(seats: Seats) -> None:
    for pid in range(1, 101):
        seats.give(pid)
        seats.of(pid).hold(pid)
        assert seats.of(1000).fewest_of_others() == pid
        seats.take_back(pid)


def test_a_process_without_a_seat_takes_connections_too(listening: socket.socket, seats: Seats) -> None:
    async def work() -> None:
        for pid in range(2, 10):
            seats.give(pid)  # all there are
        with closing(start(listening, seats, 1)):
            assert await takers(listening) == [1]
        assert seats.of(2).fewest_of_others() is None

    run(work())


def test_connections_that_ended_are_counted_no_more(listening: socket.socket, seats: Seats) -> None:
    async def work() -> None:
        with closing(start(listening, seats, 1)) as acceptor:
            clients = [(await connect(listening))[1] for _ in range(3)]
            assert seats.of(2).fewest_of_others() == 3
            await hang_up(clients)
            while seats.of(2).fewest_of_others() != 0:  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.01)
            acceptor.close()
            assert seats.of(2).fewest_of_others() is None
            with closing(start(listening, seats, 3)):
                assert await takers(listening) == [3]

    run(asyncio.wait_for(work(), 30))
