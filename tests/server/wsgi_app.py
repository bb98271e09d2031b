"""A WSGI application that shows what the bridge makes of requests, and misbehaves on demand."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from modelpool.core.errors import StoreUnavailable

MEBIBYTE = 1 << 20


class Stream:
    """A body that counts what was taken from it and tells when it was closed."""

    streaming = True

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.taken = 0
        self.is_closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self.taken += len(piece)
        return piece

    def close(self) -> None:
        """What Django's response does at the end."""
        self.is_closed.set()


class Application:
    """``/echo`` ``/stream?mb=N`` ``/events`` ``/wait`` ``/boom`` ``/late-boom``; ``gate`` ends the waiting."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.reset()

    def reset(self) -> None:
        """Forget what was."""
        self.gate.clear()
        self.entered = threading.Semaphore(0)
        self.calls = 0
        self.streams: list[Stream] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.calls += 1
        name = environ["PATH_INFO"].strip("/").replace("-", "_")
        return getattr(self, f"answer_{name}", self.answer_echo)(environ, start_response)

    def answer_echo(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Return the environment and the digest of the body."""
        digest, size = hashlib.sha256(), 0
        while piece := environ["wsgi.input"].read(65536):
            digest.update(piece)
            size += len(piece)
        shown = {name: value for name, value in environ.items() if isinstance(value, str)}
        body = json.dumps({**shown, "size": size, "sha256": digest.hexdigest()}).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def answer_stream(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Return so many MiB, in pieces of 64 KiB."""
        count = int(parse_qs(environ["QUERY_STRING"])["mb"][0]) * 16
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(count * 65536))])
        return self._stream(b"x" * 65536 for _ in range(count))

    def answer_events(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Return an event, and after the gate opened another, for ever."""

        def events() -> Iterator[bytes]:
            yield b"data: first\n\n"
            while True:
                self.gate.wait(0.05)
                yield b"data: again\n\n" if self.gate.is_set() else b": alive\n\n"

        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return self._stream(events())

    def answer_wait(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer when the gate opens."""
        self.entered.release()
        assert self.gate.wait(30)
        return self.answer_echo(environ, start_response)

    def answer_boom(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Fail at once."""
        raise RuntimeError("boom with a secret mp_0123456789abcdefghijklmnop")

    def answer_late_boom(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Fail after the first piece."""

        def pieces() -> Iterator[bytes]:
            yield b"x" * 65536
            raise RuntimeError("late boom")

        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", "1000000")])
        return self._stream(pieces())

    def answer_broken_file(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """A short file whose store fails after the first piece."""

        def pieces() -> Iterator[bytes]:
            yield b"x" * 1000
            raise StoreUnavailable("The artifact store broke off.")

        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", "2000")])
        return self._stream(pieces())

    def _stream(self, pieces: Iterable[bytes]) -> Stream:
        self.streams.append(Stream(pieces))
        return self.streams[-1]
