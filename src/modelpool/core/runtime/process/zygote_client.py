"""The parent's side of the zygote: start it, and have it fork and end children."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import msgspec

from modelpool.core.errors import ModelUnavailable
from modelpool.core.runtime.jail import layers
from modelpool.core.runtime.process.zygote import MAX_MESSAGE_BYTES

START_S = 120.0
"""How long importing scikit-learn may take on a busy machine before the zygote counts as hung."""

_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "TZ")
"""What the interpreter may need to find its libraries; no other variable of the parent is given to model processes."""


class ZygoteGone(Exception):
    """The zygote died or hangs."""


@dataclass(frozen=True, slots=True)
class Forked:
    """A child, and the socket to it."""

    pid: int
    channel: socket.socket
    zygote: Zygote


class Zygote:
    """One running zygote process; requests are answered one after another."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "modelpool.core.runtime.process.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], env=environment(), cwd="/",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            self._channel.close()
            raise ModelUnavailable(f"No process for models can be started: {error.strerror}.") from error
        finally:
            theirs.close()
        self._channel.settimeout(START_S)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def fork(self, *, format: str, memory_bytes: int, cpu_seconds: int | None, requires_all: bool = True) -> Forked:
        """Return a new, restricted model process.

        With ``requires_all`` it opens nothing where a layer of the jail is missing. Raises :class:`ZygoteGone`, and
        :class:`~modelpool.core.errors.ModelUnavailable` where the system has no room for another process.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        limits = {"memory_bytes": memory_bytes, "cpu_seconds": cpu_seconds, "requires_all": requires_all}
        request = {"do": "fork", "format": format, **limits}
        try:
            reply = self._ask(request, theirs.fileno())
        except ZygoteGone:
            ours.close()
            raise
        finally:
            theirs.close()
        if "refused" in reply:
            ours.close()
            raise ModelUnavailable(f"No process for a model can be started: {reply['refused']}.")
        return Forked(reply["pid"], ours, self)

    def preload(self, format: str) -> None:
        """Import what a format needs, now rather than at its first model; raise :class:`ZygoteGone`."""
        self._ask({"do": "preload", "format": format})

    def end(self, pid: int) -> int | None:
        """Kill and reap a child; return its status as :func:`os.waitpid` gives it, ``None`` when the zygote is gone."""
        try:
            status: int = self._ask({"do": "end", "pid": pid})["status"]
        except ZygoteGone:
            return None
        return status

    def _ask(self, request: dict[str, Any], *descriptors: int) -> dict[str, Any]:
        message = msgspec.msgpack.encode(request)
        with self._lock:
            try:
                socket.send_fds(self._channel, [message], descriptors)
                answer = self._channel.recv(MAX_MESSAGE_BYTES)
            except OSError as error:
                self._channel.close()  # an answer that comes too late must not be taken for the next one's
                raise ZygoteGone from error
        if not answer:
            raise ZygoteGone
        reply: dict[str, Any] = msgspec.msgpack.decode(answer)
        return reply

    def close(self) -> None:
        """End the process and all its children; closing the socket is what tells it."""
        self._channel.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def environment() -> dict[str, str]:
    """Return what model processes may see: how to find libraries, and that these start no threads of their own.

    OpenBLAS starts one for each core when it is imported, ONNX Runtime one that sends telemetry.
    """
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if os.environ.get(layers.ENVIRONMENT, "").startswith("jail."):
        kept[layers.ENVIRONMENT] = os.environ[layers.ENVIRONMENT]
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    quiet = {"ORT_DISABLE_TELEMETRY": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {"LANG": "C.UTF-8", **quiet, **single, **kept}
