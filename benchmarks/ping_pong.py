"""The limit of any call to another process: a bare one that waits for a message, works so long, and answers.

``python ping_pong.py DESCRIPTOR``; a message begins with the seconds to work and the bytes to answer.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time

HEAD = struct.Struct("<dQ")


def start() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start the process; return our end of a Unix socket, and the process, which ends when that is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    return ours, process


def message(*, work_s: float, ask_bytes: int, answer_bytes: int) -> bytes:
    """Return what to send."""
    return HEAD.pack(work_s, answer_bytes).ljust(ask_bytes, b"\0")


def _serve(channel: socket.socket) -> None:
    while data := channel.recv(65536):
        end = time.perf_counter()
        work_s, answer_bytes = HEAD.unpack_from(data)
        end += work_s
        while time.perf_counter() < end:
            pass
        channel.send(bytes(answer_bytes))


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
