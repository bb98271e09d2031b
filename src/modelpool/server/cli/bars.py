"""Progress bars of long work on the server."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class TransferBar:
    """Bytes done of all bytes, on standard error, where that is a terminal; of several tenants one after the other."""

    def __init__(self, doing: str) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TimeRemainingColumn(),
        )  # fmt: skip
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True)
        self._doing = doing
        self._task = self._bar.add_task(doing, total=0)
        self._files = self._done = self._size = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, *, files: int, size_bytes: int) -> None:
        """Add to what is to be done."""
        self._files += files
        self._size += size_bytes
        self._bar.update(self._task, total=self._size)

    def advance(self, name: str, *, size_bytes: int) -> None:
        """Show one more file as done."""
        self._done += 1
        text = f"{self._doing} {self._done} of {self._files} files: {name[:40]}"
        self._bar.update(self._task, advance=size_bytes, description=text)

    def wait(self, seconds: float) -> None:
        """Say why nothing moves."""
        self._bar.update(self._task, description=f"old copies go in {seconds:.0f} s")
