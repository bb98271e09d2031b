"""One server for each home folder: a locked file that also says where the running one is."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from modelpool.conf import Home
from modelpool.core.errors import Conflict


class RunningServer(msgspec.Struct, frozen=True):
    """What a running server writes about itself."""

    pid: int
    url: str = ""


@dataclass(slots=True)
class HomeLock:
    """Held by the supervisor as long as it lives; the kernel lets go of it however that ends."""

    file: IO[bytes]

    def describe(self, url: str) -> None:
        """Write down where the server is."""
        self.file.seek(0)
        self.file.truncate()
        self.file.write(msgspec.json.encode(RunningServer(pid=os.getpid(), url=url)))
        self.file.flush()


def lock_home(home: Home) -> HomeLock:
    """Take the lock, or raise :class:`Conflict` that names the server that has it."""
    file = lock_path(home).open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        running = _read(file)
        file.close()
        where = f"process {running.pid} at {running.url}" if running else "another process"
        raise Conflict(
            f"{home.path} is served already, by {where}; stop that, or choose another home with --home"
        ) from error
    lock = HomeLock(file)
    lock.describe("")
    return lock


def running_server(home: Home) -> RunningServer | None:
    """Return the server of this home when one runs, ``None`` otherwise."""
    try:
        with lock_path(home).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(file)
    except FileNotFoundError:
        pass
    return None


def lock_path(home: Home) -> Path:
    """Return where the lock is."""
    return home.run_dir / "serve.lock"


def _read(file: IO[bytes]) -> RunningServer | None:
    file.seek(0)
    try:
        return msgspec.json.decode(file.read(), type=RunningServer)
    except msgspec.DecodeError:
        return None
