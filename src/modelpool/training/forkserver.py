"""The worker's end of the zygote: starting child processes, reading what they say, ending them."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import msgspec

from modelpool.training.lines import LineBuffer
from modelpool.training.messages import MAX_EVENT_BYTES, Event, Task, decode_event

logger = logging.getLogger(__name__)

_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SSL_CERT_FILE")
_PASSED_ON_PREFIXES = ("LC_", "PYTHON", "OMP_", "MKL_", "CUDA_", "NVIDIA_", "COV_CORE_")
_FIXED = {
    # One thread while it waits to be forked: BLAS makes its threads when it is imported, Arrow's allocator one.
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "PYTHONUNBUFFERED": "1",
}
_MAX_OUTPUT_LINE_BYTES = 4000
_BLOCK_BYTES = 1 << 16
_DRAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A line that the child, or a library in it, wrote to its standard output or error."""

    text: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The child is gone, and all it wrote has been read.

    ``status`` is its exit code, or the negative number of the signal that killed it; ``None`` when the zygote itself
    was lost. ``max_rss_bytes`` is the most memory that was resident.
    """

    status: int | None
    max_rss_bytes: int = 0


Message = Event | OutputLine | Exited


class ForkServer:
    """Owns a zygote, started when first needed and again when it was lost; usable from several threads.

    With ``is_warm`` false it imports no heavy library beforehand: sooner ready, for a few short tasks.

    The children see none of the worker's environment but a few harmless variables: no database URL, no credential.
    """

    def __init__(self, *, is_warm: bool = True) -> None:
        self._options = [] if is_warm else ["--cold"]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the worker is ending, which ends every child."""
        return self._is_closed

    def start(self) -> None:
        """Start the zygote without waiting until it is warm."""
        with self._lock:
            self._ensure()

    def run(self, task: Task) -> Child:
        """Start a child process."""
        control, far_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        events, far_events = os.pipe()
        output, far_output = os.pipe()
        try:
            self._send(msgspec.json.encode(task), [far_control.fileno(), far_events, far_output])
        except BaseException:
            control.close()
            os.close(events)
            os.close(output)
            raise
        finally:
            far_control.close()
            os.close(far_events)
            os.close(far_output)
        return Child(control, events=events, output=output)

    def close(self) -> None:
        """End the zygote and every child; none can be started any more."""
        with self._lock:
            self._is_closed = True
            if self._socket is not None:
                self._socket.close()
            if self._process is not None:
                try:
                    self._process.wait(timeout=_DRAIN_S)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._process = self._socket = None

    def _send(self, message: bytes, descriptors: list[int]) -> None:
        with self._lock:
            for _ in range(3):
                try:
                    socket.send_fds(self._ensure(), [message], descriptors)
                    return
                except (BrokenPipeError, ConnectionResetError):  # it died since it was looked at
                    self._forget()
        raise OSError("the process that children are forked from cannot be started; see the worker's log")

    def _ensure(self) -> socket.socket:
        if self._is_closed:
            raise OSError("the worker is shutting down")
        if self._process is not None and self._process.poll() is not None:
            logger.warning("zygote ended with status %s; starting another", self._process.returncode)
            self._forget()
        if self._socket is None:
            self._socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            command = [sys.executable, "-P", "-m", "modelpool.training.zygote", str(far.fileno()), *self._options]
            with far:
                self._process = subprocess.Popen(
                    command,
                    env=clean_environment(os.environ),
                    pass_fds=[far.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
        return self._socket

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._socket = None


class Child:
    """A running child process, read by one thread."""

    def __init__(self, control: socket.socket, *, events: int, output: int) -> None:
        self.pid: int | None = None
        self._control = control
        self._exit: Exited | None = None
        self._ended_at = 0.0
        self._wanted_signal: signal.Signals | None = None
        self._buffers = {events: LineBuffer(MAX_EVENT_BYTES), output: LineBuffer(_MAX_OUTPUT_LINE_BYTES)}
        self._events = events
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        for descriptor in (events, output):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ)

    def read(self, timeout_s: float) -> Iterator[Message]:
        """Yield what arrived; waits up to ``timeout_s`` for something. The last message ever is :class:`Exited`."""
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._control:
                self._read_control()
            else:
                yield from self._read_lines(key.fd)
        if self._exit is not None and (not self._buffers or time.monotonic() - self._ended_at > _DRAIN_S):
            yield self._exit

    def send(self, number: signal.Signals) -> None:
        """Signal the child and everything it started, now or as soon as its number is known."""
        self._wanted_signal = number
        is_reaped = self._exit is not None and self._exit.status is not None
        if self.pid is not None and not is_reaped:
            _signal_group(self.pid, number)

    def close(self) -> None:
        """Kill what is left of it and give back the descriptors."""
        self.send(signal.SIGKILL)
        self._selector.close()
        self._control.close()
        for descriptor in self._buffers:
            os.close(descriptor)
        self._buffers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_control(self) -> None:
        message = msgspec.json.decode(self._control.recv(4096) or b"{}", type=dict[str, int])
        if "pid" in message:
            self.pid = message["pid"]
            if self._wanted_signal is not None:
                self.send(self._wanted_signal)
            return
        self._selector.unregister(self._control)
        self._exit = Exited(message.get("status"), message.get("max_rss_bytes", 0))
        self._ended_at = time.monotonic()

    def _read_lines(self, descriptor: int) -> Iterator[Message]:
        data = os.read(descriptor, _BLOCK_BYTES)
        buffer = self._buffers[descriptor]
        for line in buffer.feed(data) if data else buffer.finish():
            message = decode_event(line) if descriptor == self._events else OutputLine(line.decode(errors="replace"))
            if message is not None:
                yield message
        if not data:
            self._selector.unregister(descriptor)
            del self._buffers[descriptor]
            os.close(descriptor)


def _signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group that ``pid`` leads; the process alone while it has not yet made one."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a child may see."""
    kept = {
        name: value for name, value in environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return kept | _FIXED
