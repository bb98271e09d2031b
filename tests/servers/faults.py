"""A proxy in front of a real HTTP server that does wrong on demand, for any protocol that is spoken over HTTP.

The request goes on byte for byte, with its ``Host``, so that signatures stay right::

    with faulty_proxy(server_port) as proxy:
        proxy.add(cut(1000), method="GET", times=2)
        ...  # speak to proxy.port instead
        assert proxy.met == ["cut", "cut"]
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

_PIECE = 1 << 16
_UPSTREAM_TIMEOUT_S = 30.0
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "expect"})
_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "MKCOL", "MOVE", "COPY", "PROPFIND", "LOCK", "UNLOCK")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one exchange; positions count bytes of the body."""

    name: str
    status: int | None = None
    delay_s: float = 0.0
    cut_at: int | None = None
    flip_at: int | None = None
    flip_sent_at: int | None = None
    longer_by: int = 0
    is_lost: bool = False
    is_silent: bool = False


def answer(status: int) -> Fault:
    """The server is not asked; this is the answer."""
    return Fault(str(status), status=status)


def delay(seconds: float) -> Fault:
    """The answer comes later."""
    return Fault("delay", delay_s=seconds)


def cut(at: int) -> Fault:
    """The connection ends after so many bytes of the answer's body."""
    return Fault("cut", cut_at=at)


def flip(at: int) -> Fault:
    """A bit of the answer's body is another one."""
    return Fault("flip", flip_at=at)


def flip_sent(at: int) -> Fault:
    """A bit of the request's body is another one when it comes to the server."""
    return Fault("flip_sent", flip_sent_at=at)


def wrong_length(by: int) -> Fault:
    """``Content-Length`` says so many bytes more than there are, or less."""
    return Fault("wrong_length", longer_by=by)


def lose() -> Fault:
    """The server does what it is asked, and nobody hears of it: the connection ends without an answer."""
    return Fault("lose", is_lost=True)


def black_hole() -> Fault:
    """Nothing happens, and nothing is said, until the proxy ends."""
    return Fault("black_hole", is_silent=True)


@dataclass
class _Planned:
    fault: Fault
    method: str | None
    within: str
    remaining: int


@dataclass
class FaultyProxy:
    """What it shall do wrong, and did: ``met`` are the names of faults in the order in which they happened."""

    upstream_port: int
    port: int = 0
    met: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    _planned: list[_Planned] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault, *, method: str | None = None, within: str = "", times: int = 1) -> None:
        """Do this the next so many times that a request has the method, and ``within`` in its path."""
        self._planned.append(_Planned(fault, method, within, times))

    def clear(self) -> None:
        """Do everything right from now on, and forget what happened."""
        with self._lock:
            self._planned.clear()
            self.met.clear()
            self.asked.clear()

    def take(self, method: str, path: str) -> Fault:
        """Return what to do wrong with a request."""
        with self._lock:
            self.asked.append(method)
            for planned in self._planned:
                if planned.remaining and planned.method in (None, method) and planned.within in path:
                    planned.remaining -= 1
                    self.met.append(planned.fault.name)
                    return planned.fault
        return Fault("")


@contextmanager
def faulty_proxy(upstream_port: int) -> Iterator[FaultyProxy]:
    """Start a proxy before the server at that port of this machine; end it."""
    proxy = FaultyProxy(upstream_port)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.proxy = proxy
        proxy.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.ending.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: FaultyProxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5.0

    def __getattr__(self, name: str) -> object:
        if name.removeprefix("do_") in _METHODS:
            return self._exchange
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Serve a connection; that the other side goes away is no news here."""
        with suppress(OSError):
            super().handle()

    def finish(self) -> None:
        """End a connection, likewise."""
        with suppress(OSError):
            super().finish()

    def _exchange(self) -> None:
        proxy = cast(_Server, self.server).proxy
        fault = proxy.take(self.command, self.path)
        if fault.is_silent:
            proxy.ending.wait()
            self.close_connection = True
        elif fault.status is not None:
            self.close_connection = True  # the body that was sent is not read
            self._head(fault.status, [("Content-Length", "0")])
        else:
            upstream = http.client.HTTPConnection("127.0.0.1", proxy.upstream_port, timeout=_UPSTREAM_TIMEOUT_S)
            try:
                self._pass_on(upstream, fault, proxy.ending)
            except (OSError, http.client.HTTPException):
                self.close_connection = True
            finally:
                upstream.close()

    def _pass_on(self, upstream: http.client.HTTPConnection, fault: Fault, ending: threading.Event) -> None:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        is_chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        upstream.endheaders()
        with suppress(OSError):  # it may have answered before it has everything
            for piece in _flipped(self._chunks() if is_chunked else self._body(), fault.flip_sent_at):
                upstream.send(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
            if is_chunked:
                upstream.send(b"0\r\n\r\n")
        response = upstream.getresponse()
        ending.wait(fault.delay_s)
        if fault.is_lost:
            self.close_connection = True
        else:
            self._answer(response, fault)

    def _answer(self, response: http.client.HTTPResponse, fault: Fault) -> None:
        left_out = _HOP_BY_HOP | {"transfer-encoding"}
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in left_out]
        has_end = response.getheader("Content-Length") is not None or self.command == "HEAD" or response.status == 204
        if fault.longer_by:
            length = int(response.getheader("Content-Length", "0")) + fault.longer_by
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
            headers.append(("Content-Length", str(length)))
        if not has_end or fault.longer_by or fault.cut_at is not None:
            self.close_connection = True
            headers.append(("Connection", "close"))
        self._head(response.status, headers)
        left = fault.cut_at
        for piece in _flipped(iter(lambda: response.read(_PIECE), b""), fault.flip_at):
            self.wfile.write(piece[:left])
            if left is not None and (left := left - len(piece[:left])) == 0:
                return

    def _head(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def _body(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length", "0"))
        while left:
            piece = self.rfile.read(min(_PIECE, left))
            if not piece:
                raise ConnectionAbortedError
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().partition(b";")[0] or b"-1", 16):
            piece = self.rfile.read(size) if size > 0 else b""
            if len(piece) != size:
                raise http.client.IncompleteRead(piece)
            self.rfile.readline()
            yield piece
        self.rfile.readline()


def _flipped(pieces: Iterable[bytes], at: int | None) -> Iterator[bytes]:
    position = 0
    for piece in pieces:
        if at is not None and position <= at < position + len(piece):
            changed = bytearray(piece)
            changed[at - position] ^= 1
            yield bytes(changed)
        else:
            yield piece
        position += len(piece)
