"""Private folders for child processes, and the removal of those whose owner was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelpool import conf

_PREFIX = "work-"
_LOCK_FILE = ".owner"
_GRACE_S = 600.0


@contextmanager
def work_folder(purpose: str) -> Iterator[Path]:
    """Make a folder (0700) below the home's ``tmp``, locked while its owner lives, removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{purpose}-", dir=conf.home().tmp_dir))
    lock = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_abandoned() -> int:
    """Remove folders whose owner is gone, told by the lock that a dead process cannot hold; return how many."""
    abandoned = [folder for folder in conf.home().tmp_dir.glob(f"{_PREFIX}*") if _is_abandoned(folder)]
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)
    return len(abandoned)


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return _is_old(folder)  # killed between making the folder and its lock, or just about to make it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(lock)


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > _GRACE_S
    except FileNotFoundError:
        return False
