"""Files that come to a page: in one request, or in pieces that a script of the page sent before (parts/upload.html)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from modelpool.console.pages import TenantPage
from modelpool.core.errors import InvalidField
from modelpool.http.uploads import clean_filename
from modelpool.storage.models import Upload
from modelpool.storage.resumable import chunks_of, use_up, whole_upload

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that a form brought.

    ``replaces_bytes`` are counted against the quota already; ``taken`` belongs in the transaction of what is made of
    the file, as a service's ``in_transaction``.
    """

    chunks: Iterable[bytes]
    filename: str
    media_type: str
    replaces_bytes: int = 0
    upload: Upload | None = None

    def taken(self, _made: object) -> None:
        """Use the pieces up; a file that came in one request leaves nothing behind."""
        if self.upload is not None:
            use_up(self.upload)


def sent_file(page: TenantPage) -> SentFile:
    """Return the file of the form: the whole upload that its field ``upload`` names, or its part ``file``.

    Raises :class:`InvalidField` without either, and what :func:`~modelpool.storage.resumable.whole_upload` raises.
    """
    if named := page.request.POST.get("upload", ""):
        upload = whole_upload(page.tenant, _id_in(named))
        return SentFile(chunks_of(upload), clean_filename(upload.filename), upload.media_type, upload.length, upload)
    file = page.request.FILES.get("file")
    if not isinstance(file, UploadedFile):
        raise InvalidField("file", _("choose a file first."), code="required")
    return SentFile(file.chunks(_CHUNK_BYTES), clean_filename(file.name or ""), (file.content_type or "").lower())


def _id_in(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidField("upload", _("is not the id of an upload.")) from error
