"""What is in a folder, by ``PROPFIND``; the answer is somebody else's and is read with care."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree
from xml.parsers import expat

from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.webdav.client import Answer, Connection

_MAX_BYTES = 128 << 20
_DAV = "{DAV:}"
_QUESTION = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder; ``modified_at`` is aware, by the server's clock."""

    path: str
    is_folder: bool
    size_bytes: int
    modified_at: datetime

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of a folder by name, and what time it was for the server."""

    entries: list[Entry]
    at: datetime


def list_folder(connection: Connection, path: str) -> Listing | None:
    """Return what is in a folder, whose path ends with ``/`` or is empty; ``None`` where there is no such folder."""
    answer = _ask(connection, path, "list its files", depth="1")
    if answer is None:
        return None
    entries = sorted(_entries(answer.content), key=lambda entry: entry.path)
    return Listing(_without_itself(entries, _path_of(connection.url_of(path))), moment(answer.headers.get("date")))


def describe(connection: Connection, path: str) -> Entry | None:
    """Return a single file, ``None`` where there is none."""
    answer = _ask(connection, path, "find a file", depth="0")
    found = [] if answer is None else [entry for entry in _entries(answer.content) if not entry.is_folder]
    return found[0] if found else None


def moment(text: str | None) -> datetime:
    """Return the aware time that a header or property says; now, where it says none; ``ValueError`` for nonsense."""
    found = parsedate_to_datetime(text) if text else datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _ask(connection: Connection, path: str, doing: str, *, depth: str) -> Answer | None:
    answer = connection.ask(
        "PROPFIND",
        path,
        doing=doing,
        accept=(207, 404),
        headers={"Depth": depth, "Content-Type": "application/xml"},
        content=_QUESTION,
        max_bytes=_MAX_BYTES,
    )
    return None if answer.status == 404 else answer


def _without_itself(entries: list[Entry], itself: str) -> list[Entry]:
    """Leave out the folder that was asked for, also where a proxy gives it another path than the server does."""
    if not any(entry.path == itself for entry in entries) and entries and entries[0].is_folder:
        itself = entries[0].path
    return [entry for entry in entries if entry.path != itself]


def _entries(document: bytes) -> Iterator[Entry]:
    try:
        _refuse_entities(document)
        for response in ElementTree.fromstring(document).iter(f"{_DAV}response"):  # noqa: S314 - see above
            yield _entry(response)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, TypeError, LookupError) as error:
        raise StoreUnavailable(
            "The artifact store's server answers a listing with something else; is it WebDAV?"
        ) from error


def _refuse_entities(document: bytes) -> None:
    """A document without its own type has no entities, in whatever encoding it is written."""

    def refuse(*_: object) -> None:
        raise ValueError("a listing has no document type")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(document, True)


def _entry(response: ElementTree.Element) -> Entry:
    return Entry(
        path=_path_of(response.findtext(f"{_DAV}href") or ""),
        is_folder=response.find(f".//{_DAV}resourcetype/{_DAV}collection") is not None,
        size_bytes=int(response.findtext(f".//{_DAV}getcontentlength") or 0),
        modified_at=moment(response.findtext(f".//{_DAV}getlastmodified")),
    )


def _path_of(href: str) -> str:
    return unquote(urlsplit(href).path).rstrip("/")
