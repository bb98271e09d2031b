"""The body of one request of a resumable upload, kept part by part, also when the rest of it never comes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

from django.conf import settings
from django.http import HttpRequest, UnreadablePostError

from modelpool import conf
from modelpool.core.artifacts import CHUNK_BYTES
from modelpool.core.errors import Malformed, TooLarge
from modelpool.core.upload_errors import ChecksumMismatch
from modelpool.http.body_stream import content_length
from modelpool.http.tus import Checksum, checksum_of
from modelpool.storage.models import Upload
from modelpool.storage.resumable import append

Read = Callable[[int], bytes]


def receive(request: HttpRequest, upload: Upload, *, offset: int) -> Upload:
    """Append the body from ``offset`` on, in parts of ``[uploads] part_size``, each of them committed by itself.

    With ``Upload-Checksum`` nothing is kept before all of it is there and proven. Raises :class:`TooLarge` for more
    than the upload has left, :class:`ChecksumMismatch`, and :class:`Malformed` when the body breaks off.
    """
    size_bytes, checksum = content_length(request), checksum_of(request)
    if offset == upload.offset and size_bytes > upload.length - offset:
        raise TooLarge(upload.length - offset, "rest of the upload")
    if checksum is None:
        return _append_all(upload, request.read, offset=offset, size_bytes=size_bytes)
    with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as kept:
        _prove(request.read, checksum, size_bytes=size_bytes, write=kept.write)
        kept.seek(0)
        return _append_all(upload, kept.read, offset=offset, size_bytes=size_bytes)


def _append_all(upload: Upload, read: Read, *, offset: int, size_bytes: int) -> Upload:
    part_bytes = int(conf.settings().uploads.part_size)
    body = _Body(read, size_bytes)
    if not size_bytes:
        return append(upload, offset=offset, chunks=()) if offset != upload.offset else upload
    while body.left and not body.is_cut:
        head = body.next_chunk(part_bytes)
        if head:
            upload = append(upload, offset=offset, chunks=body.part(head, part_bytes))
            offset = upload.offset
    if body.is_cut:
        raise Malformed(f"The body ended {body.left} bytes before its declared length; what came is kept.")
    return upload


def _prove(read: Read, checksum: Checksum, *, size_bytes: int, write: Callable[[bytes], object]) -> None:
    hashed, body = checksum.new(), _Body(read, size_bytes)
    while chunk := body.next_chunk(CHUNK_BYTES):
        hashed.update(chunk)
        write(chunk)
    if body.is_cut or hashed.digest() != checksum.digest:
        raise ChecksumMismatch(f"The bytes are not those of the {checksum.algorithm} that was sent; send them again.")


class _Body:
    """Reads to the declared length; a client that goes away ends the body instead of losing it."""

    def __init__(self, read: Read, size_bytes: int) -> None:
        self._read = read
        self.left = size_bytes
        self.is_cut = False

    def next_chunk(self, most: int) -> bytes:
        """Return up to ``most`` bytes, nothing at the end."""
        wanted = min(CHUNK_BYTES, most, self.left)
        if not wanted or self.is_cut:
            return b""
        try:
            chunk = self._read(wanted)
        except UnreadablePostError:
            chunk = b""
        self.is_cut = not chunk
        self.left -= len(chunk)
        return chunk

    def part(self, head: bytes, part_bytes: int) -> Iterator[bytes]:
        """Yield what makes one part, of which ``head`` is read already."""
        yield head
        room = part_bytes - len(head)
        while chunk := self.next_chunk(room):
            room -= len(chunk)
            yield chunk
