"""A throw-away installation with a served model, for measuring."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import tree_of

HERE = Path(__file__).resolve().parent
COMMAND = [str(Path(sys.executable).with_name("modelpool"))]
_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Installation:
    """A prepared home folder; ``serve`` has not been started."""

    home: Path

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of a process that works on this home, and on no other installation's settings."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("MODELPOOL_")}
        return {**own, "MODELPOOL_HOME": str(self.home), **settings}

    def run(self, *arguments: str, **settings: str) -> str:
        """Run ``modelpool …`` to its end and return its output."""
        done = subprocess.run(
            [*COMMAND, *arguments], env=self.environment(**settings), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"modelpool {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def run_script(self, name: str, *arguments: str, **settings: str) -> Any:
        """Run a script of this folder inside the installation; return the JSON it prints last."""
        script = [sys.executable, str(HERE / name), *arguments]
        environment = self.environment(DJANGO_SETTINGS_MODULE="modelpool.server.settings", **settings)
        done = subprocess.run(script, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def temporary_installation() -> Iterator[Installation]:
    """Yield an installation with its tables made, and remove it afterwards, also when told to stop."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    with tempfile.TemporaryDirectory(prefix="modelpool-bench-") as folder:
        installation = Installation(Path(folder) / "home")
        installation.run("manage", "migrate", "--verbosity", "0")
        yield installation


@dataclass(frozen=True, slots=True)
class Server:
    """A process group that answers at ``url``; ``started_s`` is how long the first answer took."""

    url: str
    process: subprocess.Popen[bytes]
    started_s: float


@contextmanager
def serving(installation: Installation, *, workers: int = 1, job_workers: int = 0, **settings: str) -> Iterator[Server]:
    """Run ``modelpool serve`` until the block ends."""
    port = free_port()
    counts = ["--workers", str(workers), "--job-workers", str(job_workers)]
    command = [*COMMAND, "serve", "--port", str(port), *counts]
    with running(
        command, url=f"http://127.0.0.1:{port}", probe="/readyz", env=installation.environment(**settings)
    ) as it:
        yield it


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


@contextmanager
def running(
    command: list[str],
    *,
    url: str,
    probe: str,
    env: dict[str, str],
    log: Path | None = None,
    cwd: Path | None = None,
) -> Iterator[Server]:
    """Run a server until the block ends; it is there once ``probe`` answers with 200, a ``tcp://`` one once it listens.

    What it writes goes to ``log`` where one is given, and is shown if the server does not start.
    """
    began = time.monotonic()
    with (log or Path(os.devnull)).open("wb") as output:
        errors = output if log else None
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=output, stderr=errors, start_new_session=True)
    try:
        while not _answers(url, probe):
            if process.poll() is not None or time.monotonic() - began > _START_S:
                written = log.read_text(errors="replace")[-3000:] if log else ""
                raise RuntimeError(f"{' '.join(command)} does not answer at {url}{probe}\n{written}")
            time.sleep(0.01)
        yield Server(url, process, time.monotonic() - began)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and whatever it started, also what left its process group."""
    below = [handle for pid in tree_of(process.pid) if (handle := _handle_of(pid)) is not None]
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for handle in below:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)


def _handle_of(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _answers(url: str, probe: str) -> bool:
    if not url.startswith("tcp://"):
        return fetch_status(url + probe) == 200
    host, _, port = url.removeprefix("tcp://").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def fetch_status(url: str) -> int:
    """Return the status of a GET, 0 where nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def free_port() -> int:
    """Return a port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
