"""The process that model processes are forked from has one thread and no secrets, and a start from it is cheap."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from modelpool.core.errors import ModelUnavailable
from modelpool.core.formats import FORMATS
from modelpool.core.runtime.jail.hostile_format import SELF_TEST
from modelpool.core.runtime.process.child import ChildFailed
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.core.runtime.process.model_source import ModelSource
from tests.core.formats import hostile
from tests.waiting import wait_until


@pytest.fixture
def host() -> Iterator[ModelHost]:
    made = ModelHost(1 << 30)
    yield made
    made.close()


@pytest.fixture
def busy_descriptors() -> Iterator[None]:
    """Every descriptor that is opened from now on has a number above 4,500, as in a server with many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 5_000:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (5_000, hard))
    opened = [os.open(os.devnull, os.O_RDONLY)]
    while opened[-1] < 4_500:
        opened.append(os.dup(opened[0]))
    yield
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _threads(pid: int) -> list[str]:
    return [(task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()]


@pytest.mark.parametrize(
    "formats", [("onnx",), pytest.param(("onnx", "sklearn"), marks=pytest.mark.slow)], ids="+".join
)
def test_zygote_has_one_thread_after_importing_everything(formats: tuple[str, ...], host: ModelHost) -> None:
    host.preload(*formats)
    data = hostile.identity()
    loaded = host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    assert host._zygote is not None
    assert len(_threads(host._zygote.pid)) == 1, _threads(host._zygote.pid)
    assert loaded.pid is not None
    assert len(_threads(loaded.pid)) == 1, _threads(loaded.pid)
    loaded.close()


def test_a_server_with_thousands_of_open_descriptors_starts_and_asks_models(
    busy_descriptors: None, host: ModelHost
) -> None:
    data = hostile.identity()
    loaded = host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    for value in (1, 2):
        answers = loaded.predict({"x": np.array([[value, 0]], np.float32)}, ["predict"])
        assert answers["predict"].tolist() == [[value, 0]]
    assert host._zygote is not None
    for pid in (host._zygote.pid, loaded.pid):
        assert max(int(name.name) for name in Path(f"/proc/{pid}/fd").iterdir()) < 64
    loaded.close()


def test_a_system_without_room_for_a_process_leaves_those_of_other_models_alone(
    monkeypatch: pytest.MonkeyPatch, host: ModelHost
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "crowded"))
    data = hostile.identity()
    load = partial(host.load, data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    first = load()
    with pytest.raises(ModelUnavailable, match="temporarily unavailable"):
        load()
    pid, second = first.pid, load()
    assert first.predict({"x": np.zeros((1, 2), np.float32)}, ["predict"])
    assert first.pid == pid
    first.close()
    second.close()


@pytest.mark.slow
def test_zygote_holds_neither_arrow_nor_a_model(host: ModelHost) -> None:
    host.preload("sklearn")
    assert host.inspect(hostile.good_tree()).format == "sklearn"
    assert host._zygote is not None
    maps = Path(f"/proc/{host._zygote.pid}/maps").read_text()
    assert "pandas" in maps
    assert "pyarrow" not in maps


def test_no_process_reports_to_the_maker_of_onnx_runtime(host: ModelHost) -> None:
    host.preload("onnx")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert host._zygote is not None
    assert "ORT_DISABLE_TELEMETRY=1" in Path(f"/proc/{host._zygote.pid}/environ").read_text().split("\0")


@pytest.mark.slow
def test_processor_time_of_a_trial_has_an_end(host: ModelHost) -> None:
    child = host._fork(SELF_TEST, cpu_seconds=1, is_trained=False)
    source = ModelSource(b'{"attempt": "loop", "arguments": {}}')
    try:
        with pytest.raises(ChildFailed, match="used up its CPU time"):
            child.load(source, timeout_s=60, format=SELF_TEST, signature=None, is_trial=True)
    finally:
        child.end()
        source.close()


OWNER = """
import sys, threading
from modelpool.core.runtime.process.isolation import ModelHost
host = ModelHost(1 << 30)
attempt = {"timeout_s": 600, "arguments": {}}
threading.Thread(target=host.try_hostile, args=("loop",), kwargs=attempt, daemon=True).start()
while host._zygote is None:
    pass
print(host._zygote.pid, flush=True)
threading.Event().wait()
"""


def test_hung_child_ends_with_the_process_that_it_works_for() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    zygote = int(owner.stdout.readline())
    owner.stdout.close()
    children = wait_until(lambda: Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split())
    wait_until(lambda: Path(f"/proc/{children[0]}/stat").read_text().rpartition(")")[2].split()[0] == "R")
    owner.kill()
    owner.wait()
    for pid in (zygote, *map(int, children)):
        wait_until(partial(_is_gone, pid))


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
