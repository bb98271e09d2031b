"""Resumable uploads on the wire, and what is made of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from modelpool.api.v1.documents.texts import Title
from modelpool.http.bodies import Body
from modelpool.storage.models import Upload


class UploadDocument(msgspec.Struct, frozen=True):
    """An upload that is not finished or not used yet; ``offset`` bytes of ``length`` are kept."""

    id: UUID
    length: int
    offset: int
    filename: str
    created_at: datetime
    created_by: str
    expires_at: datetime


class VersionFromUpload(Body, frozen=True):
    """A version made of a whole upload; besides ``upload`` all is as in the metadata of an upload in one request."""

    upload: UUID
    filename: str | None = None
    sha256: str | None = None
    format: str | None = None
    signature: dict[str, Any] | None = None
    metrics: dict[str, Any] = {}
    params: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    description: str = ""
    activate: Literal["always", "never", "if_better"] | None = None

    def metadata(self) -> dict[str, Any]:
        """Return what is said about the file."""
        names = ("format", "signature", "metrics", "params", "figures", "tags", "description", "activate")
        return {name: getattr(self, name) for name in names}


class DatasetFromUpload(Body, frozen=True):
    """A dataset made of a whole upload; the file's name tells the format, where its media type does not."""

    upload: UUID
    filename: str | None = None
    sha256: str | None = None
    name: Title = ""


def present_upload(upload: Upload) -> UploadDocument:
    """Return the upload as it stands on the wire."""
    return UploadDocument(
        id=upload.pk,
        length=upload.length,
        offset=upload.offset,
        filename=upload.filename,
        created_at=upload.created_at,
        created_by=upload.created_by,
        expires_at=upload.expires_at,
    )


def present_uploads(uploads: Iterable[Upload]) -> list[UploadDocument]:
    """Return a list's rows."""
    return [present_upload(upload) for upload in uploads]
