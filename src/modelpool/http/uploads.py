"""What a request that may carry a file carries: the file, and the text fields of its form."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest

from modelpool.core.errors import FieldError, Invalid, InvalidField, TooLarge
from modelpool.http.bodies import media_type_of
from modelpool.http.body_stream import BodyFile, content_length
from modelpool.http.upload_handler import read_form

FORM = "multipart/form-data"
_FORM_OVERHEAD = 1 << 20
_MAX_FILENAME = 200


@dataclass(slots=True)
class Upload:
    """A file and its description; ``filename`` is what the client calls it: shown, never used as a path."""

    file: BodyFile
    media_type: str
    filename: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Return the SHA-256 of all parts; the boundary and the order of a form do not matter."""
        hashed = hashlib.sha256(self.file.digest().encode())
        for part in (self.filename, *(item for pair in sorted(self.fields.items()) for item in pair)):
            hashed.update(f"{len(part)}:{part}".encode("utf-8", "surrogateescape"))
        return hashed.hexdigest()


def is_form(request: HttpRequest) -> bool:
    """Say whether the body is a form with parts."""
    return media_type_of(request) == FORM


def read_upload(request: HttpRequest, *, part: str, limit_bytes: int, fields: Collection[str] = ()) -> Upload:
    """Return the file: the form's part of that name, or else the raw body.

    Raises 422 for a form without the part, or with others than ``fields``; 413 over the limit.
    """
    if not is_form(request):
        file = BodyFile.of_body(request, limit_bytes=limit_bytes)
        return Upload(
            file=file, media_type=media_type_of(request), filename=clean_filename(request.GET.get("filename", ""))
        )
    if content_length(request) > limit_bytes + _FORM_OVERHEAD:
        raise TooLarge(limit_bytes)
    _check_parts(request, part=part, fields=fields)
    sent = _part(request, part)
    return Upload(
        file=BodyFile.of_part(sent, limit_bytes=limit_bytes),
        media_type=(sent.content_type or "").lower(),
        filename=clean_filename(sent.name or ""),
        fields=_texts(request, fields),
    )


def clean_filename(name: str) -> str:
    """Return the last part of the client's name without control characters, at most 200 characters."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(char for char in last if char.isprintable())[-_MAX_FILENAME:]


def _check_parts(request: HttpRequest, *, part: str, fields: Collection[str]) -> None:
    read_form(request)
    sent = set(request.POST) | set(request.FILES)
    allowed = {part, *fields}
    if unknown := sorted(sent - allowed):
        detail = f"is not a part that is known here; those are {', '.join(sorted(allowed))}."
        raise Invalid(f"{unknown[0][:80]}: {detail}", errors=[FieldError(name[:80], detail) for name in unknown])
    if len(request.FILES.getlist(part)) != 1:
        raise InvalidField(part, f"send exactly one file in this part: -F '{part}=@file'.")
    for name in fields:
        if len(request.POST.getlist(name)) + len(request.FILES.getlist(name)) > 1:
            raise InvalidField(name, "may be sent once only.")


def _part(request: HttpRequest, name: str) -> UploadedFile[Any]:
    return cast("UploadedFile[Any]", request.FILES[name])


def _texts(request: HttpRequest, fields: Collection[str]) -> dict[str, str]:
    """Return the text fields; one that was sent as a file (``-F 'metadata=@metadata.json'``) is read as text too."""
    texts = {name: value for name in fields if isinstance(value := request.POST.get(name), str)}
    for name in fields:
        if name in request.FILES:
            texts[name] = _text_of_file(request, name)
    return texts


def _text_of_file(request: HttpRequest, name: str) -> str:
    sent = _part(request, name)
    if (sent.size or 0) > _FORM_OVERHEAD:
        raise TooLarge(_FORM_OVERHEAD, f"part {name!r}")
    try:
        return bytes(sent.read()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidField(name, "is not UTF-8 text.") from error
