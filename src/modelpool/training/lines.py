"""Bytes from a pipe into lines, within bounds."""

from __future__ import annotations

from collections.abc import Iterator


class LineBuffer:
    """Splits at newlines; what is longer than ``limit_bytes`` is cut, and its rest dropped up to the next newline."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._rest = b""
        self._is_cut = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that ``data`` completes, without their newlines."""
        *whole, rest = (self._rest + data).split(b"\n")
        for line in whole:
            if not self._is_cut:
                yield line[: self._limit]
            self._is_cut = False
        self._rest = b"" if self._is_cut else rest
        if len(rest) > self._limit and not self._is_cut:
            yield rest[: self._limit]
            self._rest, self._is_cut = b"", True

    def finish(self) -> Iterator[bytes]:
        """Yield what stands after the last newline, if anything."""
        if self._rest:
            yield self._rest
        self._rest = b""
