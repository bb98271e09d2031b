"""Request bodies, read whole before a Django thread is taken: a slow client holds a little memory, nothing else."""

from __future__ import annotations

import asyncio
import io
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from modelpool.core.errors import TooLarge
from modelpool.inference.asgi import Receive
from modelpool.inference.requests import ClientGone

MEMORY_BYTES = 64 * 1024
_WRITE_BYTES = 512 * 1024


class Spool:
    """One body: in memory up to 64 KiB, then in a file without a name, which ends with the process whatever happens."""

    def __init__(self, folder: Path, *, writers: ThreadPoolExecutor) -> None:
        self._folder = folder
        self._writers = writers
        self._pending = bytearray()
        self._file: BinaryIO | None = None
        self.size_bytes = 0
        self.has_more = False

    async def fill(
        self, receive: Receive, *, limit_bytes: int, timeout_s: float, enough_bytes: int | None = None
    ) -> None:
        """Read the body to its end, or until there is ``enough_bytes``; ``has_more`` says which.

        ``timeout_s`` is the longest pause between two pieces. Raises :class:`TooLarge` as soon as ``limit_bytes`` are
        exceeded, :class:`ClientGone`, ``TimeoutError``, and ``OSError`` when the disk is full.
        """
        self.has_more = True
        while self.has_more and (enough_bytes is None or self.size_bytes < enough_bytes):
            async with asyncio.timeout(timeout_s):
                message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body = message.get("body", b"")
            self.has_more = message.get("more_body", False)
            self.size_bytes += len(body)
            if self.size_bytes > limit_bytes:
                raise TooLarge(limit_bytes)
            self._pending += body
            if self.size_bytes > MEMORY_BYTES and (not self.has_more or len(self._pending) >= _WRITE_BYTES):
                await asyncio.get_running_loop().run_in_executor(self._writers, self._write)

    def open(self) -> BinaryIO:
        """Return the body, to be read from its beginning."""
        if self._file is None:
            return io.BytesIO(self._pending)
        if self._pending:  # the body broke off, or was enough
            self._write()
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Give memory and disk back."""
        self._pending.clear()
        if self._file is not None:
            self._file.close()

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  closed by close()
        view = memoryview(self._pending)
        while view:
            view = view[self._file.write(view) :]
        view.release()
        self._pending = bytearray()
