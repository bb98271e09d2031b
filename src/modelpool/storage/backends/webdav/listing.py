"""What is in a folder, by ``PROPFIND``; the answer is somebody else's and is read with care."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.webdav.client import Connection

if TYPE_CHECKING:
    import httpx

_MAX_BYTES = 256 << 20
_DAV = "{DAV:}"
_QUESTION = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder; ``modified_at`` is aware, by the server's clock."""

    name: str
    is_folder: bool
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of a folder by name, and what time it was for the server."""

    entries: list[Entry]
    at: datetime


def list_folder(connection: Connection, path: str) -> Listing | None:
    """Return what is in a folder, whose path ends with ``/`` or is empty; ``None`` where there is no such folder."""
    answer = _ask(connection, path, depth="1")
    if answer is None:
        return None
    itself = _path_of(connection.url_of(path))
    entries = [entry for path_of_entry, entry in _entries(answer.content) if path_of_entry != itself]
    return Listing(sorted(entries, key=lambda entry: entry.name), _moment(answer.headers.get("date")))


def find_entry(connection: Connection, path: str) -> Entry | None:
    """Return what the server says of one file or folder."""
    answer = _ask(connection, path, depth="0")
    return None if answer is None else next((entry for _, entry in _entries(answer.content)), None)


def _ask(connection: Connection, path: str, *, depth: str) -> httpx.Response | None:
    answer = connection.ask(
        "PROPFIND",
        path,
        doing="list its files",
        accept=(207, 404),
        headers={"Depth": depth, "Content-Type": "application/xml"},
        content=_QUESTION,
    )
    return None if answer.status_code == 404 else answer


def _moment(text: str | None) -> datetime:
    return parsedate_to_datetime(text) if text else datetime.now(UTC)


def _entries(document: bytes) -> Iterator[tuple[str, Entry]]:
    if len(document) > _MAX_BYTES or b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise _strange()
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - without entities, see above
        for response in root.iter(f"{_DAV}response"):
            path = _path_of(response.findtext(f"{_DAV}href") or "")
            yield path, _entry(path, response)
    except (ElementTree.ParseError, ValueError, TypeError) as error:
        raise _strange() from error


def _entry(path: str, response: ElementTree.Element) -> Entry:
    return Entry(
        name=path.rpartition("/")[2],
        is_folder=response.find(f".//{_DAV}resourcetype/{_DAV}collection") is not None,
        size_bytes=int(response.findtext(f".//{_DAV}getcontentlength") or 0),
        modified_at=_moment(response.findtext(f".//{_DAV}getlastmodified")),
    )


def _path_of(href: str) -> str:
    return unquote(urlsplit(href).path).rstrip("/")


def _strange() -> StoreUnavailable:
    return StoreUnavailable("The artifact store's server answers a listing with something else; is it WebDAV?")
