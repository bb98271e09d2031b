"""A private folder for each test process: gone when the process ends, and swept by a later run if it was killed.

Its parents can be searched by everyone, because servers that refuse to run as root are given another user.
"""

from __future__ import annotations

import atexit
import fcntl
import itertools
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

_PREFIX = "modelpool-tests-"
_LOCK = ".lock"
_numbers = itertools.count(1)


@lru_cache(maxsize=1)
def sandbox() -> Path:
    """Return this process's folder, created by the first call."""
    base = _searchable_base()
    _sweep(base)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    path.chmod(0o711)
    descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    atexit.register(_remove, path, os.getpid())
    return path


def fresh_path(name: str) -> Path:
    """Return a path in the sandbox that had no owner before: tests of a module may be divided, and begin it twice."""
    return sandbox() / f"{name}-{next(_numbers)}"


def _searchable_base() -> Path:
    for base in (Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")):
        if all(folder.stat().st_mode & 0o001 for folder in (base, *base.parents)):
            return base
    return Path(tempfile.gettempdir())


def _sweep(base: Path) -> None:
    """Remove the folders whose process is gone, which the kernel tells by their free lock."""
    for path in base.glob(f"{_PREFIX}*"):
        try:
            with (path / _LOCK).open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child that ends by sys.exit()
        shutil.rmtree(path, ignore_errors=True)
