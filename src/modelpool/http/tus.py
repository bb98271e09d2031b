"""The tus 1.0.0 protocol's headers: what a request for a resumable upload says, checked, and what an answer tells."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from email.utils import format_datetime

from django.http import HttpRequest

from modelpool.core.errors import Malformed, UnsupportedMediaType
from modelpool.core.upload_errors import ProtocolVersionUnknown
from modelpool.http.bodies import media_type_of
from modelpool.http.uploads import clean_filename
from modelpool.storage.models import Upload

VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"
EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
ALGORITHMS = ("sha1", "sha256")
_OVERRIDABLE = frozenset({"PATCH", "DELETE", "HEAD"})
_NUMBER = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"[!-+\--~]{1,100}")
_MAX_METADATA = 4096
_MAX_KEYS = 32


@dataclass(frozen=True, slots=True)
class Metadata:
    """``Upload-Metadata``: as it was sent, and what of it means something here."""

    sent: str = ""
    filename: str = ""
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class Checksum:
    """``Upload-Checksum``: what the bytes of one request must hash to."""

    algorithm: str
    digest: bytes

    def new(self) -> hashlib._Hash:
        """Return what the bytes are fed to."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def method_of(request: HttpRequest) -> str:
    """Return the method that is meant: ``X-HTTP-Method-Override`` for clients that can only POST."""
    wanted = request.headers.get("X-HTTP-Method-Override", "").strip().upper()
    return wanted if request.method == "POST" and wanted in _OVERRIDABLE else request.method or ""


def check_version(request: HttpRequest) -> None:
    """Raise :class:`ProtocolVersionUnknown` unless the request speaks 1.0.0."""
    if request.headers.get("Tus-Resumable") != VERSION:
        raise ProtocolVersionUnknown(f"Send the header 'Tus-Resumable: {VERSION}'; no other version is spoken here.")


def number_of(request: HttpRequest, header: str) -> int:
    """Return the header's number; raise 400 where it is missing or is none."""
    sent = request.headers.get(header, "")
    if _NUMBER.fullmatch(sent) is None:
        raise Malformed(f"Send the header {header!r} with a whole number of bytes.")
    return int(sent)


def check_media_type(request: HttpRequest) -> None:
    """Raise 415 unless the body is a piece of an upload."""
    if media_type_of(request) != MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send the bytes with the header 'Content-Type: {MEDIA_TYPE}'.")


def metadata_of(request: HttpRequest) -> Metadata:
    """Return ``Upload-Metadata``; raise 400 for what is not the protocol's form, is doubled, or is too long."""
    sent = request.headers.get("Upload-Metadata", "").strip()
    if len(sent) > _MAX_METADATA:
        raise Malformed(f"The header 'Upload-Metadata' is longer than {_MAX_METADATA} characters.")
    pairs: dict[str, bytes] = {}
    for item in sent.split(",") if sent else ():
        key, _, value = item.strip().partition(" ")
        if _KEY.fullmatch(key) is None or key in pairs or len(pairs) >= _MAX_KEYS:
            raise Malformed("'Upload-Metadata' must be pairs of a key and base64, each key once, 32 at most.")
        pairs[key] = _decode(value, "Upload-Metadata")
    return Metadata(
        sent=sent,
        filename=clean_filename(_text(pairs.get("filename") or pairs.get("name") or b"")),
        media_type=_one_line(_text(pairs.get("filetype") or pairs.get("type") or b""))[:100],
    )


def checksum_of(request: HttpRequest) -> Checksum | None:
    """Return what the body must hash to, ``None`` where nothing is said; raise 400 for another algorithm."""
    sent = request.headers.get("Upload-Checksum")
    if sent is None:
        return None
    algorithm, _, value = sent.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise Malformed(f"'Upload-Checksum' must begin with one of {', '.join(ALGORITHMS)}.")
    digest = _decode(value, "Upload-Checksum")
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise Malformed(f"'Upload-Checksum' is not as long as a {algorithm}.")
    return Checksum(algorithm, digest)


def headers_of(upload: Upload) -> dict[str, str]:
    """Return what every answer about an upload tells."""
    expires = format_datetime(upload.expires_at, usegmt=True)
    return {"Upload-Offset": str(upload.offset), "Upload-Expires": expires}


def _decode(value: str, header: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"The header {header!r} has a value that is not base64.") from error


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").replace("\x00", "")


def _one_line(text: str) -> str:
    return "".join(char for char in text if char.isprintable())
