"""The preparation of the home beside the start of the web processes, which wait with serving until it is done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping


class Preparation:
    """Runs ``modelpool.server.processes.prepare``; :attr:`gate_fd` ends for those who read it when all is ready.

    Web processes spend their first seconds importing; the home is prepared in that time.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.gate_fd, self._opener = os.pipe()
        command = [sys.executable, "-P", "-m", "modelpool.server.processes.prepare"]
        self._process = subprocess.Popen(command, env=dict(environment), stdin=subprocess.DEVNULL, process_group=0)
        self.is_done = False

    def poll(self) -> int | None:
        """Return the exit code when it has ended just now; 0 opens the gate. ``None`` before and afterwards."""
        if self.is_done or self._process.poll() is None:
            return None
        self.is_done = True
        if self._process.returncode == 0:
            os.close(self._opener)
        return self._process.returncode

    def stop(self) -> None:
        """End it early; it can be interrupted anywhere, and the next start goes on."""
        if not self.is_done:
            self._process.terminate()
            self._process.wait()
            self.is_done = True


def wait_at(gate_fd: int) -> None:
    """Wait, in a web process, until the gate is open."""
    while os.read(gate_fd, 1):
        pass
    os.close(gate_fd)
