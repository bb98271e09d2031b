"""A head that a connection sends again and again: what it says was worked out the first time."""

from __future__ import annotations

import re
from typing import NamedTuple

from modelpool.inference.requests import REQUEST_ID, Head, Way

_LENGTH = b"content-length"
_ID = b"x-request-id"
_SHAPES = {
    _LENGTH: re.compile(rb"[0-9]{1,5}"),
    _ID: REQUEST_ID,
    b"traceparent": re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"),
}
"""The headers whose values may differ, and what they are made of: nothing that could end a line, or a header."""


class _Gap(NamedTuple):
    """Where a value may differ: after the bytes ``before``, which follow the gap in front of it."""

    before: bytes
    name: bytes
    shape: re.Pattern[bytes]
    value: bytes
    at: int
    """Which of the headers it is."""


class RepeatedHead:
    """The bytes of a head that was parsed and answered, around the values that clients change from one to the next.

    Clients that predict send one head a thousand times, and change nothing in it but the length of the body and perhaps
    an id of the request, or of its trace. Bytes that are equal are parsed alike, so they need not be parsed again;
    whatever else differs by one byte goes to the parser.
    """

    __slots__ = ("_after", "_gaps", "head")

    def __init__(self, head: Head, *, gaps: list[_Gap], after: bytes) -> None:
        self.head = head
        self._gaps = gaps
        self._after = after

    @classmethod
    def of(cls, data: bytes, *, head: Head, url: bytes, body: bytes) -> RepeatedHead | None:
        """Return the head of ``data``, if that is this one request from its first to its last byte."""
        end = data.find(b"\r\n\r\n") + 4
        if not data.startswith(b"POST %b HTTP/1.1\r\n" % url) or len(data) != end + len(body):
            return None
        spans = sorted(span for name in _SHAPES if (span := _find_value(data[:end], name)) is not None)
        names = [name for _, _, name in spans]
        if _LENGTH not in names or data[slice(*spans[names.index(_LENGTH)][:2])] != b"%d" % len(body):
            return None
        gaps, last = [], 0
        for start, stop, name in spans:
            at = [sent for sent, _ in head.sent].index(name)
            gaps.append(_Gap(data[last:start], name, _SHAPES[name], data[start:stop], at))
            last = stop
        return cls(head, gaps=gaps, after=data[last:end])

    def read(self, data: bytes) -> tuple[Head, bytes] | None:
        """Return head and body if ``data`` is such a head and one whole body that is as long as the head says."""
        at = length = 0
        changes: list[tuple[_Gap, bytes]] = []
        for gap in self._gaps:
            found = gap.shape.match(data, at + len(gap.before)) if data.startswith(gap.before, at) else None
            if found is None:
                return None
            at = found.end()
            if gap.name is _LENGTH:
                length = int(found[0])
            elif found[0] != gap.value:
                changes.append((gap, found[0]))
        begin = at + len(self._after)
        if not data.startswith(self._after, at) or len(data) - begin != length:
            return None
        return self._changed(changes) if changes else self.head, data[begin:]

    def _changed(self, changes: list[tuple[_Gap, bytes]]) -> Head:
        """Return the head with other ids, which have no part in what was found in it before."""
        head = self.head
        headers, sent, way = head.headers.copy(), head.sent.copy(), head.way
        for gap, value in changes:
            headers[gap.name] = value
            sent[gap.at] = (gap.name, value)
            if gap.name is _ID and way is not None:
                way = Way(way.key, value, way.is_checked, way.key_digest, way.method, way.content_type)
        return Head(head.method, head.path, head.query, headers, sent, way)


def _find_value(head: bytes, name: bytes) -> tuple[int, int, bytes] | None:
    """Return where the value of a header is, if it is there once and looks as everybody writes it."""
    line = b"\r\n%b:" % name
    lower = head.lower()
    if lower.count(line) != 1:
        return None
    start = lower.index(line) + len(line)
    start += head.startswith(b" ", start)
    stop = head.index(b"\r", start)
    return (start, stop, name) if _SHAPES[name].fullmatch(head, start, stop) else None
