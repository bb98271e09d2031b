"""Reading a file over as many connections as it takes, and exactly the bytes that are wanted."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from modelpool.core.artifacts import CHUNK_BYTES, ObjectMissing
from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.webdav.client import Connection, pause

if TYPE_CHECKING:
    import httpx

_RETRIES = 3
"""How often in a row a download that breaks off within a piece is taken up again."""


def pieces(connection: Connection, path: str, start: int, end: int) -> Generator[bytes, None, None]:
    """Give the bytes ``[start, end)``; a connection that breaks off is taken up where it was.

    Raises :class:`StoreUnavailable` when it goes on breaking off without getting anywhere.
    """
    position, breaks, taken_up_at = start, 0, start
    while position < end:
        try:
            headers = {"Range": f"bytes={position}-{end - 1}"}
            with connection.streamed(path, doing="read a file", headers=headers) as response:
                for piece in _wanted(connection, response, path, position, end):
                    position += len(piece)
                    yield piece
            if position < end:
                raise StoreUnavailable("The artifact store broke off while a file was read; try again.")
        except StoreUnavailable:
            breaks = 1 if position - taken_up_at >= CHUNK_BYTES else breaks + 1
            taken_up_at = position
            if breaks > _RETRIES:
                raise
            pause(breaks)


def _wanted(connection: Connection, response: httpx.Response, path: str, start: int, end: int) -> Iterator[bytes]:
    """Give what is wanted of an answer, also of one that has the whole file though a part was asked for."""
    skip = _skip(connection, response, path, start)
    left = end - start
    for piece in response.iter_raw(CHUNK_BYTES):
        wanted = piece[skip:][:left]
        skip -= min(skip, len(piece))
        left -= len(wanted)
        if wanted:
            yield wanted
        if not left:
            return


def _skip(connection: Connection, response: httpx.Response, path: str, start: int) -> int:
    """Return how many bytes come before those that are wanted, or raise when it is not an answer to the question."""
    if response.status_code == 404:
        raise ObjectMissing(f"The artifact store has no object {path}.")
    if response.status_code not in (200, 206):
        raise connection.refusal(response.status_code, "read a file")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise StoreUnavailable("The artifact store's server sends a file compressed, unasked; switch that off.")
    if response.status_code == 200:
        return start
    if not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
        raise StoreUnavailable("The artifact store's server sends another part of a file than was asked for.")
    return 0
