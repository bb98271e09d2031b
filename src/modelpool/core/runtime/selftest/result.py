"""The self-test's result, shared by all processes of one server: the first runs it, the others read what it wrote."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec

from modelpool.core.runtime.jail.guard import Verdict
from modelpool.core.runtime.process.zygote_client import environment

logger = logging.getLogger(__name__)

_FILE, _LOCK = "isolation.json", "isolation.lock"
_TIMEOUT_S = 600.0


class Result(msgspec.Struct, frozen=True):
    """``start`` tells one start of the server from another."""

    start: str
    verdict: Verdict


class SelfTest:
    """Has the jail tested in the background, once for each start of the server in ``folder``.

    ``start`` names that start; processes with the same one share the result.
    """

    def __init__(self, folder: Path, *, start: str) -> None:
        self._folder = folder
        self._start = start
        self._done = threading.Event()
        self._verdict: Verdict | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="modelpool-self-test", daemon=True)

    def start(self) -> None:
        """Begin, once."""
        self._thread.start()

    def await_verdict(self, timeout_s: float) -> Verdict | None:
        """Return the verdict, ``None`` when it is not there in time."""
        self._done.wait(timeout_s)
        return self._verdict

    def close(self) -> None:
        """End what runs; nobody learns a verdict any more."""
        self._is_closing = True
        process = self._process
        if process is not None:
            process.kill()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        try:
            verdict = self._shared()
        except (OSError, ValueError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
            verdict = Verdict(failure=f"it cannot be run: {error}")
        if self._is_closing:
            return
        self._verdict = verdict
        self._done.set()
        if verdict.problem:
            logger.critical("uploads are refused: %s", verdict.problem)
        else:
            logger.info("the isolation of models holds: %s attempts were stopped", verdict.n_attempts)

    def _shared(self) -> Verdict:
        """Read the result of this start, or wait for whoever makes it, or make it."""
        with (self._folder / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = read_result(self._folder)
            if result is not None and result.start == self._start:
                return result.verdict
            verdict = self._run()
            if not self._is_closing:
                _write_result(self._folder, Result(self._start, verdict))
            return verdict

    def _run(self) -> Verdict:
        command = [sys.executable, "-P", "-m", "modelpool.core.runtime.selftest.run", str(os.getpid())]
        with subprocess.Popen(
            command, env=environment(), cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as self._process:
            if self._is_closing:
                self._process.kill()
            output, _ = self._process.communicate(timeout=_TIMEOUT_S)
        return msgspec.json.decode(output, type=Verdict)


def read_result(folder: Path) -> Result | None:
    """Return the last result, ``None`` where there is none that can be read."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError):
        return None


def _write_result(folder: Path, result: Result) -> None:
    private = folder / f"{_FILE}.{os.getpid()}"
    private.write_bytes(msgspec.json.encode(result))
    private.replace(folder / _FILE)


def start_of_parent() -> str:
    """Name this start of the server: its supervisor's process number, and when that began."""
    parent = os.getppid()
    try:
        began = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{parent}:{os.getpid()}"
    return f"{parent}:{began}:{boot}"
