"""Where the files of a form go while it is read: private temporary files, all closed when the form is broken."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import HttpRequest


class FormFileHandler(TemporaryFileUploadHandler):
    """Remembers the files it made: Django's parser, when it gives up in mid-form, closes the last one only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.made: list[TemporaryUploadedFile] = []

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Open a temporary file for the next part."""
        super().new_file(*args, **kwargs)
        self.made.append(self.file)


def read_form(request: HttpRequest) -> None:
    """Parse the form; when it is broken, close what was made of it and let the error pass."""
    try:
        request.FILES  # noqa: B018  Django parses when it is first looked at
    except Exception:
        for handler in request.upload_handlers:
            for file in getattr(handler, "made", ()):
                file.close()
        raise
