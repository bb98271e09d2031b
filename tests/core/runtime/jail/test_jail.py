"""Hostile behaviour inside a model process: every attempt is stopped, or the process is ended."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelpool.core.runtime.jail.attempts import ATTEMPTS, ENDINGS
from modelpool.core.runtime.jail.layers import LEAKING, probe_layers
from modelpool.core.runtime.process.isolation import ModelHost
from tests.core.formats import hostile

pytestmark = pytest.mark.skipif(bool(probe_layers().missing), reason="this kernel has not all layers of the jail")

REFUSALS = {"stopped EPERM", "stopped EACCES", "stopped MemoryError"}
OTHERWISE = {
    "processes by clone3": "stopped ENOSYS",
    "open for writing by openat2": "stopped ENOSYS",
    "open many files": "stopped EMFILE",
    "map much memory": "stopped ENOMEM",
}
"""What is refused as an older kernel would, and where a limit answers instead of a layer."""


@pytest.fixture(scope="module")
def host() -> Iterator[ModelHost]:
    made = ModelHost(1 << 30)
    yield made
    made.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A file, a folder and a port of ours, which the attempts are about."""
    path = tmp_path / "secret"
    path.write_text("hush")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield {"path": str(path), "folder": str(tmp_path), "port": server.getsockname()[1]}
        with pytest.raises(BlockingIOError):
            server.accept()
    assert path.read_text() == "hush"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["secret"]  # noqa: PTH208


@pytest.mark.parametrize(
    "attempt",
    [pytest.param(name, marks=pytest.mark.slow if name == "load a tree that loops" else ()) for name in ATTEMPTS],
)
def test_attempt_is_stopped(attempt: str, host: ModelHost, target: dict[str, Any]) -> None:
    ended = host.try_hostile(attempt, timeout_s=30, arguments=target)
    assert ended in ({OTHERWISE[attempt]} if attempt in OTHERWISE else REFUSALS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        ("loop", "did not answer within"),
        ("loop in native code", "did not answer within"),
        ("crash", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("leave", "ended by itself"),
        ("fill the socket", "failed|closed|killed|answer|ended"),
    ],
)
def test_process_that_nothing_stops_is_ended(attempt: str, words: str, host: ModelHost) -> None:
    assert attempt in ENDINGS
    ended = host.try_hostile(attempt, timeout_s=1, arguments={})
    assert re.search(words, ended), ended
    assert host.inspect(hostile.identity()).format == "onnx"


def test_attempts_would_succeed_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempts are real: without Landlock and seccomp they get what they want."""
    monkeypatch.setenv("MODELPOOL_FAILPOINT", LEAKING)
    path = tmp_path / "secret"
    path.write_text("hush")
    leaking = ModelHost(1 << 30)
    try:
        arguments = {"path": str(path), "folder": str(tmp_path), "port": 0}
        for attempt in (
            "read the users", "read a file", "make a folder", "fork", "signal the parent", "open a Unix socket",
            "executable memory", "io_uring", "clone a process", "make a symbolic link", "a file in memory",
        ):  # fmt: skip
            assert leaking.try_hostile(attempt, timeout_s=30, arguments=arguments).startswith("escaped"), attempt
        assert (tmp_path / "made").is_dir()
    finally:
        leaking.close()
