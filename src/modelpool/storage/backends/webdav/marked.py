"""The marker on the share, which proves that it is the one that belongs to this installation."""

from __future__ import annotations

import hashlib
import secrets
import time
from contextlib import suppress

from modelpool.core.errors import StoreUnavailable
from modelpool.storage.backends.marker import MARKER, MarkRecord, mark_of, marker_of
from modelpool.storage.backends.webdav.files import Files

_PROVEN_FOR_S = 30.0


class MarkedShare:
    """Looks at the marker before the share is used, and again after half a minute."""

    def __init__(self, files: Files, record: MarkRecord, *, alias: str) -> None:
        self._files = files
        self._record = record
        self._alias = alias
        self._until = float("-inf")

    def prove(self, *, is_fresh: bool = False) -> None:
        """Raise :class:`StoreUnavailable` when the marker is missing or is another one.

        ``is_fresh`` looks in any case: before it is said that something is not there, or that it now is.
        """
        if not is_fresh and time.monotonic() < self._until:
            return
        content = self._files.read(MARKER)
        self._record.accept(self._start() if content is None else mark_of(content))
        self._until = time.monotonic() + _PROVEN_FOR_S

    def _start(self) -> str:
        """Mark a share that holds nothing of ours; of several processes at once, the first one's mark holds."""
        if self._was_proven() or self._holds_anything() or not self._record.may_start_empty():
            content = self._files.read(MARKER)
            if content is None:
                raise StoreUnavailable(
                    f"The folder on the server has no marker {MARKER}; is it the right one? Correct "
                    f"stores.{self._alias}.url. Nothing is read or written until then."
                )
            return mark_of(content)
        marker = marker_of(secrets.token_hex(16))
        with suppress(FileExistsError), self._files.uploaded([marker]) as private:
            self._files.move(private, MARKER, sha256=hashlib.sha256(marker).hexdigest())
        return mark_of(self._files.read(MARKER) or b"")

    def _was_proven(self) -> bool:
        return self._until > float("-inf")

    def _holds_anything(self) -> bool:
        found = self._files.list()
        if found is None:
            raise StoreUnavailable(
                f"The artifact store's server has no such folder; make it, or correct stores.{self._alias}.url."
            )
        return any(not entry.name.startswith(".") and entry.name != "lost+found" for entry in found.entries)
