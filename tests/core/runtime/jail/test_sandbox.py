"""What a restricted process cannot do, tried from inside one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modelpool.core.runtime.jail import landlock

PROLOGUE = """
import os, socket, sys
import numpy as np
from modelpool.core.runtime.jail import sandbox
sandbox.enter(memory_bytes={memory}, cpu_seconds=60, parent_pid=os.getppid())
try:
{attempt}
except (OSError, MemoryError) as error:
    print("stopped", type(error).__name__)
else:
    print("done")
"""


def _attempt(line: str, *, memory: int = 1 << 28) -> str:
    code = PROLOGUE.format(attempt=f"    {line}", memory=memory)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return ran.stdout.strip() or f"died {ran.returncode} {ran.stderr[-300:]}"


needs_landlock = pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")


@needs_landlock
@pytest.mark.parametrize("path", ["/etc/passwd", "/root", "/tmp", "/var"])
def test_files_outside_the_libraries_cannot_be_read(path: str) -> None:
    read = f"os.listdir({path!r})" if Path(path).is_dir() else f"open({path!r}).read()"
    assert _attempt(read) == "stopped PermissionError"


@needs_landlock
def test_nothing_can_be_executed() -> None:
    assert _attempt("os.execv('/bin/true', ['true'])") == "stopped PermissionError"


@needs_landlock
def test_tcp_is_closed() -> None:
    if landlock.version() < 4:
        pytest.skip("this kernel's Landlock does not know of TCP")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert _attempt(f"socket.create_connection(('127.0.0.1', {port}))") == "stopped PermissionError"


@needs_landlock
def test_others_cannot_be_signalled() -> None:
    if landlock.version() < 6:
        pytest.skip("this kernel's Landlock does not know of signals")
    assert _attempt(f"os.kill({os.getpid()}, 0)") == "stopped PermissionError"


def test_nothing_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / "written"
    assert _attempt(f"open({str(target)!r}, 'w').write('x' * 10)") != "done"
    assert not target.exists() or target.stat().st_size == 0


def test_memory_has_an_end() -> None:
    assert "MemoryError" in _attempt("np.ones(1 << 27)")


@pytest.mark.slow
def test_libraries_can_still_be_imported() -> None:
    assert _attempt("import sklearn.linear_model, onnxruntime", memory=4 << 30) == "done"


def test_process_without_its_parent_ends() -> None:
    enter = "sandbox.enter(memory_bytes=1, cpu_seconds=1, parent_pid=1)"
    code = f"from modelpool.core.runtime.jail import sandbox; {enter}"
    ran = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert ran.returncode == 1
