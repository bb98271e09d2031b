"""Files on their way up and down, with a bar for long ones."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from modelpool.server.cli.client.failures import Refused

if TYPE_CHECKING:
    import httpx

_LONG_BYTES = 1 << 20


@contextmanager
def open_upload(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be sent; a usage error says why that cannot be done."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}.", param_hint="FILE") from error
    with file, _bar(total=os.fstat(file.fileno()).st_size) as bar:
        task = bar.add_task("sending", total=os.fstat(file.fileno()).st_size)
        yield bar.wrap_file(file, task_id=task) if not bar.disable else file


def save_download(response: httpx.Response, *, path: Path, sha256: str) -> int:
    """Write the answer's body to ``path``, whole and with the right digest, or not at all; return its size.

    Raises :class:`Refused` when the digest is another one.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with partial.open("xb") as file, _bar(total=int(response.headers.get("Content-Length", 0))) as bar:
            task = bar.add_task("receiving", total=int(response.headers.get("Content-Length", 0)) or None)
            for piece in response.iter_raw():
                digest.update(piece)
                size += file.write(piece)
                bar.advance(task, len(piece))
        if digest.hexdigest() != sha256:
            raise Refused(f"What arrived has the sha256 {digest.hexdigest()}, not {sha256}; nothing was saved.")
        partial.replace(path)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}.", param_hint="--output") from error
    finally:
        partial.unlink(missing_ok=True)
    return size


def _bar(*, total: int) -> Progress:
    is_shown = sys.stderr.isatty() and total > _LONG_BYTES
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not is_shown, transient=True)
