"""Connections as clients use and misuse them; each on the short way and by ASGI, with the same answers."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
import uvicorn
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelpool.inference.requests import Answer, Begun, Head
from modelpool.server.connections.protocol import guarded, sweep_connections

_SLOW_S = 0.05


class Application:
    """Says which path was asked with which body; ``/slow…`` takes a while, ``/large`` answers a megabyte.

    ``/headers`` says which headers came, ``/unread`` answers without reading the body, ``/waits`` waits for the client
    to go away.
    """

    def __init__(self) -> None:
        self.short = self.by_asgi = 0
        self.waits, self.gone = threading.Event(), threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", scope["path"] != "/unread"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.by_asgi += 1
        if scope["path"] == "/waits":
            self.waits.set()
            assert (await receive())["type"] == "http.disconnect"
            self.gone.set()
        if scope["path"] == "/headers":
            body = b"&".join(b"%b:%b" % header for header in scope["headers"])
        await self._answer(scope["path"], body, send)

    async def _answer(self, path: str, body: bytes, send: Any) -> None:
        if path.startswith("/slow"):
            await asyncio.sleep(_SLOW_S)
        answer = _answer_to(path, body)
        await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def begin(self, head: Head, body: bytes) -> Begun:
        if head.path.startswith(("/other", "/headers", "/unread")):
            return None
        self.short += 1
        if head.path.startswith("/slow") or body == b"slow":
            return lambda _, __, send: self._answer(head.path, body, send)
        if body == b"other":
            return None
        return _answer_to(head.path, body)


def _answer_to(path: str, body: bytes) -> Answer:
    text = b"x" * (1 << 20) if path == "/large" else path.encode() + b"=" + body
    return Answer(200, [(b"content-length", b"%d" % len(text))], text)


class Server:
    def __init__(self, *, is_short: bool, keep_alive_s: int = 20, unread_s: float = 300) -> None:
        self._unread_s = unread_s
        self.application = Application()
        begin = self.application.begin if is_short else None
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.application,
                port=0,
                log_level="critical",
                lifespan="off",
                http=guarded(max_connections=300, begin=begin),
                ws="none",
                timeout_keep_alive=keep_alive_s,
            )
        )
        self._thread = threading.Thread(target=self._run_in_loop, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        self.address = self._server.servers[0].sockets[0].getsockname()

    def _run_in_loop(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        state = self._server.server_state
        sweep = asyncio.ensure_future(sweep_connections(state, head_timeout_s=10, unread_timeout_s=self._unread_s))
        await self._server.serve()
        sweep.cancel()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=10)

    def ask(self, *pieces: bytes) -> bytes:
        """Send pieces, then no more, and return everything that comes back until the end."""
        with closing(self.connect()) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            return read_to_end(connection)


@pytest.fixture(scope="module", params=[True, False], ids=["short way", "by ASGI"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(is_short=request.param)
    yield made
    made.stop()


def read_to_end(connection: socket.socket) -> bytes:
    data = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(1 << 16):
            data += piece
    return data


def read_answers(connection: socket.socket, count: int) -> list[bytes]:
    data = b""
    while len(bodies_of(data)) < count:
        piece = connection.recv(1 << 16)
        assert piece, data[-500:]
        data += piece
    return bodies_of(data)


def bodies_of(data: bytes) -> list[bytes]:
    """Return the bodies of the whole answers in ``data``; what is not of their form fails."""
    found = []
    while match := re.match(
        rb"HTTP/1.1 \d{3} [^\r]*\r\n(?:[^\r]+\r\n)*?content-length: (\d+)\r\n(?:[^\r]+\r\n)*\r\n", data, re.I
    ):
        length = int(match[1])
        if len(data) < match.end() + length:
            break
        found.append(data[match.end() : match.end() + length])
        data = data[match.end() + length :]
    return found


def post(path: str, body: bytes = b"b", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


CHUNKED = b"POST /chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
MIXED = [post("/slow1"), post("/quick1"), CHUNKED, post("/other"), post("/slow2", b""), post("/quick2", b"c" * 70_000)]
MIXED_BODIES = [b"/slow1=b", b"/quick1=b", b"/chunked=abc", b"/other=b", b"/slow2=", b"/quick2=" + b"c" * 70_000]


def test_the_short_way_is_taken(server: Server, request: pytest.FixtureRequest) -> None:
    before = server.application.short
    assert bodies_of(server.ask(post("/quick"))) == [b"/quick=b"]
    assert (server.application.short > before) == ("short way" in request.node.name)


def test_a_head_that_comes_again_is_answered_like_the_first(server: Server) -> None:
    bodies = [b"a", b"bc", b"slow", b"", b"other", b"d" * 5000, b"slow", b"slow", b"e"]
    with closing(server.connect()) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for body in bodies * 2:
            connection.sendall(post("/quick", body))
            assert read_answers(connection, 1) == [b"/quick=" + body]
        whole = post("/quick", b"in two pieces")
        connection.sendall(whole[:-4])
        time.sleep(_SLOW_S)
        connection.sendall(whole[-4:] + post("/quick", b"2") + post("/quick", b"slow") + post("/quick", b"4"))
        assert read_answers(connection, 4) == [b"/quick=in two pieces", b"/quick=2", b"/quick=slow", b"/quick=4"]
        connection.sendall(post("/quick", b"5"))
        assert read_answers(connection, 1) == [b"/quick=5"]
        connection.sendall(post("/quick", b"6", "Connection: close"))
        assert bodies_of(read_to_end(connection)) == [b"/quick=6"]


def test_pipelined_answers_come_in_order(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(b"".join(MIXED))
        assert read_answers(connection, 6) == MIXED_BODIES
        connection.sendall(post("/again"))
        assert read_answers(connection, 1) == [b"/again=b"]


def test_many_pipelined_requests_are_all_answered(server: Server) -> None:
    requests = [post(f"/quick{number}") for number in range(200)]
    assert bodies_of(server.ask(b"".join(requests))) == [b"/quick%d=b" % number for number in range(200)]


def test_a_client_that_sends_no_more_gets_its_answers(server: Server) -> None:
    for requests, bodies in (([post("/slow")], [b"/slow=b"]), (MIXED, MIXED_BODIES)):
        assert bodies_of(server.ask(b"".join(requests))) == bodies


def test_a_request_that_breaks_off_is_dropped_and_those_before_it_answered(server: Server) -> None:
    assert server.ask(post("/quick", b"abc")[:-1]) == b""
    assert bodies_of(server.ask(post("/slow") + post("/quick", b"abc")[:-1])) == [b"/slow=b"]
    assert bodies_of(server.ask(post("/slow") + post("/quick")[:20])) == [b"/slow=b"]


def test_what_is_no_http_is_refused_after_the_answers_before_it(server: Server) -> None:
    answers = server.ask(post("/slow") + b"nonsense\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"400"]
    assert b'"code":"malformed"' in answers
    both = "Transfer-Encoding: chunked"
    assert server.ask(post("/quick", b"b", both)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("header", ["X-Long: " + "x" * 65_600, "\r\n".join(f"X-{number}: x" for number in range(120))])
def test_long_heads_are_refused_also_when_they_arrive_whole(server: Server, header: str) -> None:
    answers = server.ask(post("/slow") + post("/quick", b"b", header))
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"431"]
    assert b"connection: close" in answers.lower()


def test_what_comes_before_a_head_is_no_part_of_it(server: Server) -> None:
    whole, cut = post("/quick", b"b" * 200_000), post("/next")
    with closing(server.connect()) as connection:
        connection.sendall(whole + cut[:30])
        assert read_answers(connection, 1) == [b"/quick=" + b"b" * 200_000]
        connection.sendall(cut[30:])
        assert read_answers(connection, 1) == [b"/next=b"]


def test_a_long_head_in_pieces_is_refused(server: Server) -> None:
    lines = [b"X-%d: %b\r\n" % (number, b"b" * 7000) for number in range(11)]
    head = b"POST /quick HTTP/1.1\r\nHost: x\r\n" + b"".join(lines) + b"Content-Length: 0\r\n\r\n"
    for size in (7000, 40_000, 70_000):
        with closing(server.connect()) as connection:
            for at in range(0, len(head), size):
                with suppress(ConnectionError):
                    connection.sendall(head[at : at + size])
                time.sleep(0.002)
            assert statuses_of(read_to_end(connection)) == [b"431"]


def test_closing_after_the_answer_is_asked_for(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(post("/quick", b"b", "Connection: close"))
        answer = read_to_end(connection)
    assert bodies_of(answer) == [b"/quick=b"]
    assert b"connection: close" in answer


def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(post("/quick", b"b", "Expect: 100-continue")[:-1])
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"b")
        assert read_answers(connection, 1) == [b"/quick=b"]


@pytest.mark.slow
def test_a_body_that_lets_us_wait_is_passed_on(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(post("/quick", b"abc")[:-2])
        time.sleep(2.2)  # two sweeps
        connection.sendall(b"bc")
        assert read_answers(connection, 1) == [b"/quick=abc"]


def test_slow_connections_do_not_delay_others(server: Server) -> None:
    slow = [server.connect() for _ in range(200)]
    for number, connection in enumerate(slow):
        connection.sendall((post("/quick")[:25], post("/quick", b"abc")[:-1])[number % 2])
    for connection in (server.connect() for _ in range(12)):
        with closing(connection):
            connection.sendall(post("/quick") * 20)
            assert len(read_answers(connection, 20)) == 20
    for number, connection in enumerate(slow):
        with closing(connection):
            connection.sendall((post("/quick")[25:], b"c")[number % 2])
            assert len(read_answers(connection, 1)) == 1


@pytest.mark.slow
def test_who_never_reads_is_not_answered_without_end(server: Server) -> None:
    application = server.application
    with closing(server.connect()) as connection:
        before = application.short + application.by_asgi
        connection.settimeout(0.5)
        sent = 0
        with suppress(TimeoutError):
            for _ in range(100_000):
                sent += connection.send(post("/large") * 100)
        answered = application.short + application.by_asgi - before
    assert answered < 40  # megabytes: the buffers of both sockets and one answer more
    assert sent < 100 * 2**20
    assert bodies_of(server.ask(post("/quick"))) == [b"/quick=b"]


@pytest.mark.slow
@pytest.mark.parametrize("is_short", [True, False])
def test_idle_connections_are_closed(is_short: bool) -> None:
    server = Server(is_short=is_short, keep_alive_s=1)
    try:
        with closing(server.connect()) as connection:
            connection.sendall(post("/quick") + b"\r\n")
            assert bodies_of(read_to_end(connection)) == [b"/quick=b"]
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("is_short", [True, False])
def test_who_never_reads_is_cut_off_after_a_while(is_short: bool) -> None:
    server = Server(is_short=is_short, keep_alive_s=1, unread_s=1)
    try:
        with closing(socket.socket()) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(server.address)
            connection.sendall(post("/large") * 50)
            deadline = time.monotonic() + 10
            while not server.connections and time.monotonic() < deadline:
                time.sleep(0.01)
            while server.connections and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not server.connections
    finally:
        server.stop()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.slow
def test_splitting_the_bytes_changes_nothing(server: Server, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(5)))
    stream = b"".join(MIXED[at] for at in order)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert bodies_of(server.ask(*pieces)) == [MIXED_BODIES[at] for at in order]


# --- where a request ends ---------------------------------------------------------------------------------------------

IN_CHUNKS = b"POST /%b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def statuses_of(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1.1 (\d+)", answers)


def test_headers_behind_a_body_are_thrown_away(server: Server) -> None:
    trailer = b"Host: evil\r\nAuthorization: Bearer b\r\nX-Forwarded-For: 1.2.3.4\r\n"
    answers = server.ask(IN_CHUNKS % b"headers" + b"1\r\na\r\n0\r\n" + trailer + b"\r\n" + post("/headers"))
    first, second = bodies_of(answers)
    assert first == b"/headers=host:x&transfer-encoding:chunked"
    assert second == b"/headers=host:x&content-length:1"


@pytest.mark.parametrize("path", [b"quick", b"unread"])
@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"1\r\na\r\n0\r\n", b"X-A: b\r\n" * 5000),
        (b"1\r\na\r\n0\r\nX-A: ", b"b" * 50_000),
        (b"1;", b"b" * 50_000),
    ],
)
def test_what_stands_around_a_body_is_bounded(server: Server, path: bytes, start: bytes, piece: bytes) -> None:
    with closing(server.connect()) as connection, suppress(ConnectionError):
        connection.sendall(IN_CHUNKS % path + start)
        for _ in range(400):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        pytest.fail("20 MB were taken")


def test_a_request_that_was_answered_gets_no_second_answer(server: Server) -> None:
    with closing(server.connect()) as connection:
        connection.sendall(IN_CHUNKS % b"unread" + b"1\r\na\r\n")
        assert read_answers(connection, 1) == [b"/unread="]
        connection.sendall(b"nonsense\r\n")
        assert read_to_end(connection) == b""


@pytest.mark.parametrize("cut", [False, True])
def test_an_upgrade_that_is_not_declined_never_makes_a_request_of_a_body(server: Server, cut: bool) -> None:
    hidden = post("/hidden")
    odd = post("/odd", hidden, "Connection: Upgrade", "uPgRaDe: h2c")
    before = server.application.short + server.application.by_asgi
    with closing(server.connect()) as connection:
        connection.sendall(odd[: -len(hidden)] if cut else odd + post("/next"))
        answers = connection.recv(1 << 16)
        with suppress(ConnectionError):
            connection.sendall(hidden)
        answers += read_to_end(connection)
    assert statuses_of(answers) == [b"400"]
    assert b"connection: close" in answers
    assert server.application.short + server.application.by_asgi == before
    busy = post("/odd", hidden, "Connection: Upgrade", "Upgrade: h2c")
    answers = server.ask(post("/slow") + busy + post("/next"))
    assert statuses_of(answers) == [b"200", b"400"]
    assert b"hidden" not in answers


def test_an_upgrade_without_a_body_is_ignored_and_the_connection_ends(server: Server) -> None:
    get = b"GET /get HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nuPgRaDe: websocket\r\n\r\n"
    with closing(server.connect()) as connection:
        connection.sendall(get + post("/next")[:30])
        answers = read_to_end(connection)
    assert bodies_of(answers) == [b"/get="]
    assert b"connection: close" in answers


@pytest.mark.slow
def test_who_is_not_asked_for_a_body_is_not_read_on(server: Server) -> None:
    head = post("/unread", b"b" * 60, "Expect: 100-continue")[:-60]
    with closing(server.connect()) as connection:
        connection.sendall(head)
        assert read_answers(connection, 1) == [b"/unread="]
        connection.sendall(post("/next"))
        assert read_to_end(connection) == b""
    assert b"connection: close" in server.ask(head + b"b" * 60)


def test_blanks_behind_a_value_are_no_part_of_it(server: Server) -> None:
    data = post("/headers").replace(b"Host: x", b"Host:\t x \t").replace(b"Length: 1", b"Length: 1 ")
    assert bodies_of(server.ask(data)) == [b"/headers=host:x&content-length:1"]
    assert bodies_of(server.ask(post("/quick").replace(b"Length: 1", b"Length: 1 ") * 2)) == [b"/quick=b"] * 2


# --- clients that go away ---------------------------------------------------------------------------------------------


def test_the_request_under_way_is_told_that_its_client_has_gone() -> None:
    server = Server(is_short=False)
    try:
        with closing(server.connect()) as connection:
            connection.sendall(post("/slow") + b"GET /waits HTTP/1.1\r\nHost: x\r\n\r\n" + post("/next"))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no farewell
        assert server.application.waits.wait(10)
        assert server.application.gone.wait(10)
    finally:
        server.stop()
