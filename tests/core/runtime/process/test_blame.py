"""A model is blamed for what it does, and for nothing that the machine, its zygote or its owner does to it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelpool.core.errors import ModelUnavailable
from modelpool.core.formats import FORMATS
from modelpool.core.runtime import memory
from modelpool.core.runtime.process.channel import LoopChannel
from modelpool.core.runtime.process.isolated_model import IsolatedModel
from modelpool.core.runtime.process.isolation import ModelHost
from tests.core.formats import hostile
from tests.waiting import wait_until

HANG, NESTED = 1005, 1010


def rows(value: float = 1.0) -> dict[str, np.ndarray]:
    return {"x": np.array([[value, 0]], np.float32)}


def load(host: ModelHost) -> IsolatedModel:
    data = hostile.identity()
    return host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHost]:
    """Starts processes that misbehave when asked to."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "lying"))
    made = ModelHost(128 << 20, predict_timeout_s=20.0)
    yield made
    made.close()


@pytest.fixture
def reasons() -> list[str]:
    return []


@pytest.fixture
def model(host: ModelHost, reasons: list[str]) -> Iterator[IsolatedModel]:
    """A model whose first fault is one too many."""
    loaded = load(host)
    loaded.watch(fault_limit=1, on_quarantine=reasons.append)
    yield loaded
    loaded.close()


def _gone(pid: int | None) -> bool:
    return not Path(f"/proc/{pid}").exists()


def _kill(pid: int | None, number: int = signal.SIGKILL) -> None:
    assert pid is not None
    os.kill(pid, number)


def _hang(model: IsolatedModel) -> tuple[threading.Thread, list[BaseException]]:
    """Ask a question that is never answered, in a thread, and return it with what it raised."""
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            model.predict(rows(HANG), ["predict"])
        except ModelUnavailable as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(model.lock.locked, "the call")
    return thread, raised


def test_a_zygote_killed_under_a_call_is_not_the_models_fault(
    host: ModelHost, model: IsolatedModel, reasons: list[str]
) -> None:
    thread, raised = _hang(model)
    assert host._zygote is not None
    _kill(host._zygote.pid)
    thread.join(20)
    assert "with the process that it came from" in str(raised[0])
    assert model.predict(rows(), ["predict"])["predict"].tolist() == [[1, 0]]
    assert reasons == []


@pytest.mark.slow
def test_a_zygote_killed_while_idle_is_nobodys_fault(host: ModelHost, model: IsolatedModel, reasons: list[str]) -> None:
    assert host._zygote is not None
    pid = model.pid
    _kill(host._zygote.pid)
    wait_until(lambda: _gone(pid), "the end of the child")
    assert model.predict(rows(), ["predict"])["predict"].tolist() == [[1, 0]]
    assert reasons == []


def test_a_zygote_killed_under_a_call_of_the_loop_is_not_the_models_fault(
    host: ModelHost, model: IsolatedModel, reasons: list[str]
) -> None:
    async def main() -> tuple[Any, Any]:
        loop = asyncio.get_running_loop()
        channel, found = LoopChannel(model, loop), loop.create_future()
        channel.ask(rows(HANG), ("predict",), lambda *came: found.set_result(came))
        await asyncio.sleep(0.05)
        assert host._zygote is not None
        _kill(host._zygote.pid)
        result: tuple[Any, Any] = await asyncio.wait_for(found, 20)
        channel.detach()
        return result

    _, error = asyncio.run(main())
    assert "with the process that it came from" in error.detail
    assert reasons == []


def test_closing_under_a_call_is_not_the_models_fault(model: IsolatedModel, reasons: list[str]) -> None:
    thread, raised = _hang(model)
    model.close()
    thread.join(20)
    assert isinstance(raised[0], ModelUnavailable)
    assert reasons == []


def test_a_call_on_its_way_to_a_model_that_is_closed_starts_nothing(model: IsolatedModel, reasons: list[str]) -> None:
    _kill(model.pid)
    model.close()
    with pytest.raises(ModelUnavailable, match="unloaded"):
        model.start_child()
    assert reasons == []


def test_a_machine_without_room_for_a_process_is_not_the_models_fault(
    monkeypatch: pytest.MonkeyPatch, reasons: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "crowded"))
    crowded = ModelHost(128 << 20)
    try:
        model = load(crowded)
        model.watch(fault_limit=1, on_quarantine=reasons.append)
        pid = model.pid
        _kill(pid)
        wait_until(lambda: _gone(pid), "the end of the child")
        model.watch(fault_limit=2, on_quarantine=reasons.append)  # its own end is one
        with pytest.raises(ModelUnavailable, match="temporarily unavailable") as caught:
            model.predict(rows(), ["predict"])
        assert caught.value.retry_after_s is not None
        assert model.predict(rows(), ["predict"])["predict"].tolist() == [[1, 0]]
        assert reasons == []
        model.close()
    finally:
        crowded.close()


def test_whom_the_kernel_kills_for_want_of_memory_while_idle_is_not_blamed(
    model: IsolatedModel, reasons: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "vmstat"
    told.write_text(f"nr_free_pages 1\noom_kill {memory.kills_for_memory() + 1}\n")
    pid = model.pid
    _kill(pid)
    wait_until(lambda: _gone(pid), "the end of the child")
    monkeypatch.setattr(memory, "VMSTAT", told)
    assert model.predict(rows(), ["predict"])["predict"].tolist() == [[1, 0]]
    assert reasons == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_what_dies_while_idle_of_itself_is_blamed(model: IsolatedModel, reasons: list[str], number: int) -> None:
    pid = model.pid
    _kill(pid, number)
    wait_until(lambda: _gone(pid), "the end of the child")
    with pytest.raises(ModelUnavailable, match="while nobody asked it"):
        model.predict(rows(), ["predict"])
    assert len(reasons) == 1


def test_an_answer_that_cannot_be_read_fails_its_caller_at_once(model: IsolatedModel, reasons: list[str]) -> None:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        channel, found = LoopChannel(model, loop), loop.create_future()
        channel.ask(rows(NESTED), ("predict",), lambda _, error: found.set_result(error))
        error = await asyncio.wait_for(found, 10)  # the deadline of the call is 20
        channel.detach()
        return error

    assert "in quarantine" in asyncio.run(main()).detail
    assert "malformed header" in reasons[0]
