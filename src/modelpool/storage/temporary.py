"""Files that killed processes left in the home's folder of temporary files; each node has its own."""

from __future__ import annotations

import time
from pathlib import Path


def old_files(folder: Path, *, older_than_s: float) -> list[Path]:
    """Return the files that nobody has written to for so long; folders have owners of their own."""
    oldest = time.time() - older_than_s
    return [path for path in folder.iterdir() if _is_old(path, oldest)] if folder.is_dir() else []


def remove_files(paths: list[Path]) -> None:
    """Remove them; that some are gone already is no news."""
    for path in paths:
        path.unlink(missing_ok=True)


def _is_old(path: Path, oldest: float) -> bool:
    try:
        return path.is_file() and not path.is_symlink() and path.stat().st_mtime < oldest
    except FileNotFoundError:  # whoever had it is done
        return False
