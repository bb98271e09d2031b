"""A real ``modelpool serve`` on a free port, with its web and job processes, for tests from outside."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.migrated import bring_tables
from tests.servers.processes import die_with_parent
from tests.servers.processes import inherited_environment as inherited_environment  # noqa: PLC0414  of commands, too

_READY = re.compile(r"Modelpool is ready: (\S+)")
_READY_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 45.0


@dataclass(frozen=True, slots=True)
class ServedModelpool:
    """A running server: where it is, its home, its processes' parent, and what they printed."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]
    log_file: Path

    def log(self) -> str:
        """Return what the server printed until now."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")


@contextmanager
def serve_modelpool(
    home: Path, *arguments: str, database_url: str | None = None, failpoint: str | None = None
) -> Iterator[ServedModelpool]:
    """Start ``modelpool serve`` on ``home``, wait until it is ready, and end it in order.

    Settings of the tests themselves are not handed down. ``database_url`` is written to the home's ``modelpool.toml``,
    so that commands on the same home find the same database; add settings of your own there before. ``failpoint`` is
    what the processes take for ``MODELPOOL_FAILPOINT``.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if database_url is not None:
        with (home / "modelpool.toml").open("a", encoding="utf-8") as settings:
            settings.write(f'[database]\nurl = "{database_url}"\n')
    bring_tables(home)
    log_file = home.with_name(f"{home.name}.log")
    command = [sys.executable, "-P", "-m", "modelpool", "serve", "--port", "0", "--home", str(home), *arguments]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**inherited_environment(), **({"MODELPOOL_FAILPOINT": failpoint} if failpoint else {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        yield ServedModelpool(_wait_until_ready(process, log_file), home, process, log_file)
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], log_file: Path) -> str:
    deadline = time.monotonic() + _READY_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        found = _READY.search(log_file.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found[1]
        time.sleep(0.05)
    state = "is not ready" if process.poll() is None else f"ended with {process.returncode}"
    raise AssertionError(f"modelpool serve {state}:\n{log_file.read_text(errors='replace')[-4000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError("modelpool serve did not end after SIGTERM") from None
