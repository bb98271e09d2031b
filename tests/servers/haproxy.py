"""The real HAProxy with ``deploy/haproxy.cfg``, in front of two nodes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.house.source import ROOT
from tests.servers.processes import die_with_parent, free_port

CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
_START_DEADLINE_S = 10.0
_STOP_DEADLINE_S = 10.0


class HAProxyUnavailable(Exception):
    """There is no HAProxy here; the message says what to install."""


@dataclass(frozen=True, slots=True)
class HAProxy:
    """A running balancer."""

    url: str
    process: subprocess.Popen[bytes]
    stats: Path
    log_file: Path

    def state_of(self, server: str) -> str:
        """Return what the balancer thinks of a node: ``UP``, ``DOWN`` and so on."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.stats))
            connection.sendall(b"show stat -1 4 -1\n")
            text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        header, *lines = text.removeprefix("# ").strip().splitlines()
        names = header.split(",")
        for line in lines:
            row = dict(zip(names, line.split(","), strict=False))
            if row.get("svname") == server:
                return row["status"]
        raise AssertionError(f"HAProxy knows no server {server!r}")


def find_haproxy() -> str:
    """Return the program, or raise :class:`HAProxyUnavailable`."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise HAProxyUnavailable("no haproxy found; run scripts/test-servers, or install it (Debian: haproxy)")
    return found


@contextmanager
def balance(*nodes: str, folder: Path) -> Iterator[HAProxy]:
    """Start HAProxy in front of two addresses such as ``127.0.0.1:8000``, wait until it listens, and end it."""
    port = free_port()
    stats, log_file = folder / "haproxy.sock", folder / "haproxy.log"
    environment = {
        "PATH": os.defpath,
        "HAPROXY_STATS": str(stats),
        "MODELPOOL_BIND": f"127.0.0.1:{port}",
        "MODELPOOL_NODE_1": nodes[0],
        "MODELPOOL_NODE_2": nodes[1],
    }
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [find_haproxy(), "-db", "-f", str(CONFIGURATION)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        _wait_until_it_listens(process, port, log_file)
        yield HAProxy(f"http://127.0.0.1:{port}", process, stats, log_file)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log_file: Path) -> None:
    deadline = time.monotonic() + _START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"haproxy does not start:\n{log_file.read_text(errors='replace')[-3000:]}")
