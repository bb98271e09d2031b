"""The process from which all child processes of a worker are forked, heavy libraries imported already.

Run as ``python -m modelpool.training.zygote FD [--cold]``. It has one thread, no database, no credentials and never
trains: a fork copies libraries that were imported but never used, which is safe (threads of BLAS, OpenMP and Arrow
would not survive one). It ends when the worker's end of its socket closes, for whatever reason, and takes its children
along.
"""

from __future__ import annotations

import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from modelpool.training.child import enter_child
from modelpool.training.messages import Task
from modelpool.training.runner import ENTRIES

PRELOADED = (
    "modelpool.core.compile",
    "modelpool.core.formats",
    "modelpool.training.tables",
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.naive_bayes",
    "sklearn.neighbors",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
    "skops.io",
)
"""Imported once; all leave the process with one thread. ONNX Runtime would not: the child imports it."""

_MAX_MESSAGE_BYTES = 1 << 16


class Zygote:
    """Forks a child for every request on the worker's socket, and reports how it ended on the request's own socket."""

    def __init__(self, requests: socket.socket, *, entries: dict[str, Callable[[Path], None]]) -> None:
        self._requests = requests
        self._entries = entries
        self._children: dict[int, socket.socket] = {}
        self._signals, wake = socket.socketpair()
        self._signals.setblocking(False)
        wake.setblocking(False)
        self._wake = wake
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Work until the worker is gone."""
        selector = selectors.DefaultSelector()
        selector.register(self._requests, selectors.EVENT_READ)
        selector.register(self._signals, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if self._signals in ready:
                self._signals.recv(4096)
                self._reap()
            if self._requests in ready and not self._take_request():
                return self._kill_all()

    def _take_request(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._requests, _MAX_MESSAGE_BYTES, 3)
        if not message:
            return False
        task = msgspec.json.decode(message, type=Task)
        control, events, output = descriptors
        pid = os.fork()
        if pid == 0:
            self._become_child(task, control=control, events=events, output=output)
        os.close(events)
        os.close(output)
        self._children[pid] = socket.socket(fileno=control)
        if not self._tell(pid, {"pid": pid}):
            _kill_group(pid)  # given up by the worker while the request waited here
        return True

    def _become_child(self, task: Task, *, control: int, events: int, output: int) -> None:
        """Run the task and leave; nothing of the zygote's is seen or closed twice by it."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for other in (self._requests, self._signals, self._wake, *self._children.values()):
                os.close(other.fileno())
            os.close(control)
            enter_child(task, events=events, output=output)
            self._entries[task.entry](Path(task.folder))
            status = 0
        except BaseException:  # noqa: BLE001 - the edge of the process
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        """Report ended children; what they started dies with them, while their process group still has its number."""
        while self._children:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            _kill_group(ended.si_pid)
            pid, status, usage = os.wait4(ended.si_pid, 0)
            if pid in self._children:
                self._tell(pid, {"status": os.waitstatus_to_exitcode(status), "max_rss_bytes": usage.ru_maxrss * 1024})
                self._children.pop(pid).close()

    def _tell(self, pid: int, message: dict[str, int]) -> bool:
        """Send it to whoever asked for the child; ``False`` when nobody listens any more."""
        try:
            self._children[pid].send(msgspec.json.encode(message), socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def _kill_all(self) -> None:
        for pid in self._children:
            _kill_group(pid)


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def preload() -> None:
    """Import what can be imported; an optional library that is missing is missed later, with a better message."""
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.stderr.write(f"zygote: {name} cannot be imported\n")


def main() -> None:
    """Preload, then serve requests from the socket whose descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "--cold" not in sys.argv:
        preload()
    gc.collect()
    gc.freeze()
    Zygote(socket.socket(fileno=int(sys.argv[1])), entries=ENTRIES).serve()


if __name__ == "__main__":
    main()
