"""Conditions and ranges of downloads: RFC 9110, sections 13 and 14."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.http import HttpRequest

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")
_TAG = re.compile(r'(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes ``[start, stop)`` of ``size``."""

    start: int
    stop: int
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole file."""
        return self.start == 0 and self.stop == self.size

    @property
    def content_range(self) -> str:
        """The header of a partial answer."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


def is_unchanged(request: HttpRequest, etag: str) -> bool:
    """Say whether ``If-None-Match`` names the file that the client has already (weak comparison, 8.8.3.2)."""
    sent = request.headers.get("If-None-Match")
    if sent is None:
        return False
    return sent.strip() == "*" or etag in {tag.removeprefix("W/") for tag in _TAG.findall(sent)}


def asked_range(request: HttpRequest, *, size: int, etag: str) -> ByteRange | None:
    """Return the range to send, the whole file where none is asked for; ``None`` when it cannot be satisfied (416).

    Several ranges, other units, what is not a range, and ranges of another file (``If-Range``) are answered with the
    whole file, as RFC 9110 (14.2) allows.
    """
    whole = ByteRange(0, size, size)
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or match[1] == match[2] == "" or request.headers.get("If-Range", etag) != etag:
        return whole
    if match[1] == "":
        length = min(int(match[2]), size)
        return ByteRange(size - length, size, size) if length else None
    start = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if last < start and match[2]:
        return whole
    return ByteRange(start, min(last + 1, size), size) if start < size else None
