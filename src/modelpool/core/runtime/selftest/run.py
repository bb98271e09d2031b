"""The self-test of the jail: a few hostile files are opened in it when the server starts, and none may get out.

It runs in a process of its own, with a zygote of its own, at the lowest priority, and leaves nothing behind:
``python -m modelpool.core.runtime.selftest.run`` prints its :class:`~modelpool.core.runtime.jail.guard.Verdict` as
JSON.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from modelpool.core.errors import ModelpoolError
from modelpool.core.lifetime import die_with_parent
from modelpool.core.runtime.jail.guard import Verdict
from modelpool.core.runtime.jail.hostile_format import ESCAPED, STOPPED
from modelpool.core.runtime.process.isolation import ModelHost

CHOSEN = (
    "read a file", "list the home", "read the parent's memory file", "write a file", "append to a file",
    "remove a file", "make a symbolic link", "execute", "fork", "processes by clone3", "connect by TCP", "send by UDP",
    "open a Unix socket", "signal the parent", "ptrace the parent", "io_uring", "a file in memory",
    "executable memory", "allocate in native code", "load a tree that loops", "loop in native code",
)  # fmt: skip
"""Of ``attempts.py``: at least one for every layer, and the files that hang, crash and take all memory."""

_TIMEOUT_S = 20.0
_ENOUGH = 3
_LOOP_TIMEOUT_S = 0.5


def run_attempts(chosen: tuple[str, ...] = CHOSEN) -> Verdict:
    """Make the attempts, one after another, and return which got what they wanted."""
    began = time.monotonic()
    host = ModelHost(1 << 30)
    try:
        with TemporaryDirectory(prefix="modelpool-self-test-") as folder:
            escaped, failures = _try_all(host, folder, chosen)
    except (ModelpoolError, OSError) as error:
        escaped, failures = [], [str(error)]
    finally:
        host.close()
    return Verdict(
        escaped=tuple(escaped),
        failure="; ".join(failures),
        n_attempts=len(chosen),
        duration_s=round(time.monotonic() - began, 3),
    )


def _try_all(host: ModelHost, folder: str, chosen: tuple[str, ...]) -> tuple[list[str], list[str]]:
    secret = Path(folder, "secret")
    secret.write_text("hush")
    escaped: list[str] = []
    failures: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = {"path": str(secret), "folder": folder, "port": server.getsockname()[1]}
        for attempt in chosen:
            if len(escaped) >= _ENOUGH:
                break
            ended = _ending(host, attempt, arguments)
            if ended.startswith(ESCAPED):
                escaped.append(attempt)
            elif not ended.startswith((STOPPED, "its process ")):
                failures.append(f"{attempt}: {ended}")
        escaped += _traces(server, folder)
    return escaped, failures


def _ending(host: ModelHost, attempt: str, arguments: dict[str, Any]) -> str:
    timeout_s = _LOOP_TIMEOUT_S if attempt.startswith("loop") else _TIMEOUT_S
    return host.try_hostile(attempt, timeout_s=timeout_s, arguments=arguments)


def _traces(server: socket.socket, folder: str) -> list[str]:
    """Return what was done whatever the processes say."""
    found = [] if sorted(os.listdir(folder)) == ["secret"] else ["change files"]  # noqa: PTH208
    server.setblocking(False)
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return found
    return [*found, "reach the network"]


def main() -> None:
    """Print the verdict; end with the process that started this one."""
    die_with_parent(int(sys.argv[1]) if len(sys.argv) > 1 else os.getppid())
    os.nice(19)
    sys.stdout.write(msgspec.json.encode(run_attempts()).decode() + "\n")


if __name__ == "__main__":
    main()
