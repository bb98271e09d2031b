"""Bodies that are files: read in pieces, never whole in memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest

from modelpool.core.artifacts import CHUNK_BYTES
from modelpool.core.errors import LengthRequired, Malformed, TooLarge


def content_length(request: HttpRequest) -> int:
    """Return the declared length, 0 when none is; the server has de-chunked bodies before they come here."""
    try:
        return max(0, int(request.META.get("CONTENT_LENGTH") or 0))
    except ValueError as error:
        raise Malformed("The header 'Content-Length' is not a number.") from error


class BodyFile:
    """The file that a request carries, as its raw body or as a part of a form; read once, then closed."""

    def __init__(
        self, read: Callable[[int], bytes], *, size_bytes: int, rewind: Callable[[], object] | None = None
    ) -> None:
        self._read = read
        self._rewind = rewind
        self._spool: IO[bytes] | None = None
        self.size_bytes = size_bytes
        self.on_chunk: Callable[[], None] | None = None

    @classmethod
    def of_body(cls, request: HttpRequest, *, limit_bytes: int) -> BodyFile:
        """Take the raw body; raise 411 without a declared length, 413 when it is over the limit, 400 when empty."""
        if not request.META.get("CONTENT_LENGTH"):
            raise LengthRequired("Send the file with the header 'Content-Length'.")
        size_bytes = content_length(request)
        if size_bytes > limit_bytes:
            raise TooLarge(limit_bytes)
        if size_bytes == 0:
            raise Malformed("The body is empty; send the file as the body.")
        return cls(request.read, size_bytes=size_bytes)

    @classmethod
    def of_part(cls, part: UploadedFile[Any], *, limit_bytes: int) -> BodyFile:
        """Take a part of a form that Django has parsed to a temporary file."""
        if (part.size or 0) > limit_bytes:
            raise TooLarge(limit_bytes, "file")
        if not part.size:
            raise Malformed(f"The file {(part.name or '')[:80]!r} is empty.")
        part.seek(0)
        return cls(part.read, size_bytes=part.size, rewind=lambda: part.seek(0))

    def chunks(self) -> Iterator[bytes]:
        """Yield the pieces; raise :class:`Malformed` when the body ends before its declared length."""
        left = self.size_bytes
        while left > 0:
            chunk = self._read(min(CHUNK_BYTES, left))
            if not chunk:
                raise Malformed(f"The body ended {left} bytes before its declared length.")
            left -= len(chunk)
            if self.on_chunk is not None:
                self.on_chunk()
            yield chunk

    def digest(self) -> str:
        """Return the SHA-256 of the file, hexadecimal; it can still be read afterwards (a raw body from a copy)."""
        if self._rewind is None:
            self._spool = tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR)  # noqa: SIM115 - read later
        hashed = hashlib.sha256()
        for chunk in self.chunks():
            hashed.update(chunk)
            if self._spool is not None:
                self._spool.write(chunk)
        if self._spool is not None:
            self._spool.seek(0)
            self._read = self._spool.read
        elif self._rewind is not None:
            self._rewind()
        return hashed.hexdigest()

    def close(self) -> None:
        """Give the private copy back."""
        if self._spool is not None:
            self._spool.close()
