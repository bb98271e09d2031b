"""The process that model processes are forked from: libraries imported once, one thread, no secrets, no models.

A fork copies one thread and every lock as it is, so no library may have threads of its own here.

Started as ``python -m modelpool.core.runtime.process.zygote FD`` with a Unix datagram-like socket
(``SOCK_SEQPACKET``) as descriptor ``FD``. Messages are MessagePack: ``fork`` (with a descriptor for the
child) answers the child's pid, or why the system gives none, ``preload`` imports what a format needs, ``end``
kills and reaps a child and answers its exit status. It ends, and all its children with it, when its parent does.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import warnings
from typing import Any

import msgspec

from modelpool.core.runtime.jail import sandbox, seccomp

MAX_MESSAGE_BYTES = 65_536
POLL_S = 1.0


class Zygote:
    """The loop; single-threaded, so a child's pid is never reaped behind anyone's back."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.parent_pid = os.getppid()
        self.alive: set[int] = set()
        self.statuses: dict[int, int] = {}
        self.preloaded: set[str] = set()

    def serve(self) -> None:
        """Answer until the parent is gone."""
        woken, waker = os.pipe()
        control = self.channel.fileno()
        for descriptor in (woken, waker):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        while os.getppid() == self.parent_pid:
            ready, _, _ = select.select([control, woken], [], [], POLL_S)
            if woken in ready:
                os.read(woken, 4096)
            self._reap()
            if control in ready and not self._answer():
                return

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.alive.discard(pid)
            self.statuses[pid] = status

    def _answer(self) -> bool:
        try:
            message, descriptors, _, _ = socket.recv_fds(self.channel, MAX_MESSAGE_BYTES, 1)
        except OSError:
            return False
        if not message:
            return False
        request = msgspec.msgpack.decode(message)
        reply: dict[str, Any]
        if request["do"] == "fork":
            reply = self._fork(request, descriptors[0])
        elif request["do"] == "preload":
            self._preload(request["format"])
            reply = {}
        else:
            reply = {"status": self._end(request["pid"])}
        try:
            self.channel.send(msgspec.msgpack.encode(reply))
        except OSError:
            return False
        return True

    def _fork(self, request: dict[str, Any], descriptor: int) -> dict[str, Any]:
        """Return the child's ``pid``, or why the system gives none: others' children live on then."""
        self._preload(request["format"])
        own_pid = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                _become_model_process(descriptor, request, parent_pid=own_pid)
        except OSError as error:
            return {"refused": error.strerror}
        finally:
            os.close(descriptor)
        self.alive.add(pid)
        return {"pid": pid}

    def _preload(self, name: str) -> None:
        """Import what the format needs; a format that cannot be imported fails in the child, with a message."""
        if name in self.preloaded:
            return
        self.preloaded.add(name)
        try:
            from modelpool.core.runtime.process.model_process import format_named

            format_named(name).preload()
            sandbox.readable_places()
            if seccomp.is_available():
                seccomp.make_filter(os.uname().machine)  # once, here: a child only installs it
        except Exception as error:  # noqa: BLE001 — a process's edge
            sys.stderr.write(f"modelpool: cannot preload the format {name!r}: {error}\n")
        gc.collect()
        gc.freeze()

    def _end(self, pid: int) -> int:
        """Kill a child that still lives, wait for it and return its status (``os.waitpid``)."""
        if pid in self.alive:  # never a process that is not ours: numbers are used again
            os.kill(pid, signal.SIGKILL)
            self.statuses[pid] = os.waitpid(pid, 0)[1]
            self.alive.discard(pid)
        return self.statuses.pop(pid, 0)


def _become_model_process(descriptor: int, request: dict[str, Any], *, parent_pid: int) -> None:
    """Keep the one socket, then serve; never returns."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.dup2(descriptor, 3)
        os.closerange(4, 4096)
        from modelpool.core.runtime.process import model_process

        model_process.run(
            socket.socket(fileno=3),
            memory_bytes=request["memory_bytes"],
            cpu_seconds=request["cpu_seconds"],
            requires_all=request["requires_all"],
            parent_pid=parent_pid,
        )
    finally:
        os._exit(0)


class _NoArrow:
    """Finds no ``pyarrow``: pandas would import it, and it starts a thread and takes 40 MB, for nothing here."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r} in model processes", name=name)


def main() -> None:
    """Serve on the descriptor named by the first argument."""
    sys.meta_path.insert(0, _NoArrow())
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; our parent ends us by its socket
    Zygote(_with_low_number(int(sys.argv[1]))).serve()


def _with_low_number(descriptor: int) -> socket.socket:
    """Return the socket under the lowest free number.

    That of a parent with many connections may be past what ``select`` knows, and past what a fork of ours closes.
    """
    low = os.dup(descriptor)
    os.close(descriptor)
    return socket.socket(fileno=low)


if __name__ == "__main__":
    main()
