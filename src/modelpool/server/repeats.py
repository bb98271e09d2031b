"""A head that a connection sends again and again: what it says was worked out the first time."""

from __future__ import annotations

from modelpool.inference.requests import Head

_LENGTH = b"\r\ncontent-length:"
_MAX_DIGITS = 5


class RepeatedHead:
    """The bytes of a head that was parsed and answered, around the number that says how long its body is.

    Clients that predict send one head a thousand times and change nothing in it but that number. Bytes that are equal
    are parsed alike, so they need not be parsed again; whatever differs by one byte goes to the parser.
    """

    __slots__ = ("_after", "_before", "_number_at", "head")

    def __init__(self, head: Head, *, before: bytes, after: bytes) -> None:
        self.head = head
        self._before = before
        self._number_at = len(before)
        self._after = after

    @classmethod
    def of(cls, data: bytes, *, head: Head, url: bytes, body: bytes) -> RepeatedHead | None:
        """Return the head of ``data``, if that is this one request from its first to its last byte."""
        end = data.find(b"\r\n\r\n") + 4
        if not data.startswith(b"POST %b HTTP/1.1\r\n" % url) or len(data) != end + len(body):
            return None
        lower = data[:end].lower()
        if lower.count(_LENGTH) != 1:
            return None
        start = lower.index(_LENGTH) + len(_LENGTH)
        stop = data.index(b"\r", start)
        start += data[start:stop] != data[start:stop].lstrip(b" ")  # one space, as everybody writes it
        if data[start:stop] != b"%d" % len(body):
            return None
        return cls(head, before=data[:start], after=data[stop:end])

    def body_of(self, data: bytes) -> bytes | None:
        """Return the body if ``data`` is this head and one whole body that is as long as the head says."""
        if not data.startswith(self._before):
            return None
        stop = data.find(b"\r", self._number_at, self._number_at + _MAX_DIGITS + 1)
        number = data[self._number_at : stop]
        if stop < 0 or not number.isdigit() or not data.startswith(self._after, stop):
            return None
        begin = stop + len(self._after)
        return data[begin:] if len(data) - begin == int(number) else None
