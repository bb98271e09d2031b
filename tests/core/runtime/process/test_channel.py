"""An event loop asks model processes, also such as crash, hang, leak and lie: each with a real one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop

from modelpool.core.errors import ModelUnavailable, PredictionFailed
from modelpool.core.formats import FORMATS
from modelpool.core.runtime.process import wire
from modelpool.core.runtime.process.answers import OutOfMemory
from modelpool.core.runtime.process.channel import LoopChannel
from modelpool.core.runtime.process.isolated_model import IsolatedModel
from modelpool.core.runtime.process.isolation import ModelHost
from tests.core.formats import hostile
from tests.waiting import wait_until

FEWER_ROWS, TOO_LONG, TWICE, CRASH, HANG, LEAK, LATE, ANOTHER_CALL, ONLY_ALONE = range(1001, 1010)
WIDER, DEEPER, TEXTS = range(1011, 1014)

Work = Callable[[LoopChannel], Coroutine[Any, Any, Any]]


@pytest.fixture(scope="module")
def host() -> Iterator[ModelHost]:
    """Starts processes that misbehave when asked to, within half a second for a call and 128 MiB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "lying"))
        made = ModelHost(128 << 20, predict_timeout_s=0.5)
        made.preload("onnx")
    yield made
    made.close()


@pytest.fixture
def model(host: ModelHost) -> Iterator[IsolatedModel]:
    data = hostile.identity()
    loaded = host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    yield loaded
    loaded.close()


def run(model: IsolatedModel, work: Work, *, factory: Any = uvloop.new_event_loop) -> Any:
    async def main() -> Any:
        channel = LoopChannel(model, asyncio.get_running_loop())
        try:
            return await work(channel)
        finally:
            channel.detach()

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def wait_for_end(pid: int) -> None:
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


async def ask(channel: LoopChannel, *values: float, is_shared: bool = False) -> list[list[float]]:
    """Ask for one row for each value."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(answers: Any, error: Any) -> None:
        future.set_exception(error) if error is not None else future.set_result(answers)

    rows = np.array([[value, 0] for value in values], np.float32)
    channel.ask({"x": rows}, ("predict",), done, is_shared=is_shared)
    answers = await future
    found: list[list[float]] = answers["predict"].tolist()
    return found


@pytest.mark.parametrize("factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_answers_come_back_one_call_after_another(model: IsolatedModel, factory: Any) -> None:
    async def work(channel: LoopChannel) -> None:
        for value in range(20):
            assert await ask(channel, value, value + 1) == [[value, 0], [value + 1, 0]]

    run(model, work, factory=factory)


def test_long_frames_go_both_ways(model: IsolatedModel) -> None:
    async def work(channel: LoopChannel) -> None:
        values = np.arange(60_000) % 1000
        assert np.array_equal(np.array(await ask(channel, *values))[:, 0], values)
        assert await ask(channel, 1) == [[1, 0]]

    run(model, work)


def test_threads_and_the_loop_take_turns(model: IsolatedModel) -> None:
    async def work(channel: LoopChannel) -> None:
        pid = model.pid
        for value in range(10):
            assert await ask(channel, value) == [[value, 0]]
            rows = {"x": np.array([[value, 1]], np.float32)}
            answers = await asyncio.to_thread(model.predict, rows, ["predict"])
            assert answers["predict"].tolist() == [[value, 1]]
        assert model.pid == pid

    run(model, work)


def test_a_process_killed_while_idle_is_started_again_unnoticed(model: IsolatedModel) -> None:
    async def work(channel: LoopChannel) -> None:
        await ask(channel, 1)
        first = model.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await asyncio.to_thread(wait_for_end, first)
        assert await ask(channel, 2) == [[2, 0]]
        assert model.pid != first

    run(model, work)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (FEWER_ROWS, "0 rows"),
        (TOO_LONG, "too large"),
        (CRASH, "SIGSEGV"),
        (HANG, "did not answer within 0.5 s"),
        (LATE, "did not answer within 0.5 s"),
        (ANOTHER_CALL, "another answer"),
        (WIDER, r"'predict' that has the shape \(1, 4\) for \(-1, 2\)"),
        (DEEPER, r"'predict' that has the shape \(1, 2, 1\)"),
        (TEXTS, "'predict' that holds values of type object for float32"),
    ],
)
def test_a_model_that_misbehaves_fails_its_caller_and_comes_back(model: IsolatedModel, number: int, words: str) -> None:
    async def work(channel: LoopChannel) -> None:
        first = model.pid
        with pytest.raises(ModelUnavailable, match=words):
            await ask(channel, number)
        assert await ask(channel, 7) == [[7, 0]]
        assert model.pid != first

    run(model, work)


@pytest.mark.slow
def test_an_answer_too_many_is_never_taken_for_the_next_one(model: IsolatedModel) -> None:
    async def work(channel: LoopChannel) -> None:
        first = model.pid
        for value in (TWICE, 5, TWICE, 6):
            try:
                assert await ask(channel, value) == [[value, 0]]
            except ModelUnavailable:
                await asyncio.sleep(0.6)  # the pause after a second failure
        assert model.pid != first

    run(model, work)


def test_a_model_that_leaks_is_started_again_at_its_limit(model: IsolatedModel) -> None:
    async def work(channel: LoopChannel) -> int:
        first, restarts = model.pid, 0
        for _ in range(40):
            try:
                assert await ask(channel, LEAK) == [[LEAK, 0]]
            except OutOfMemory:
                restarts += 1
                assert await ask(channel, LEAK) == [[LEAK, 0]]
        assert model.pid != first
        return restarts

    assert 1 <= run(model, work) <= 20


def test_rows_that_need_too_much_memory_are_refused_and_are_no_fault(host: ModelHost) -> None:
    data = hostile.identity()
    loaded = host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    loaded.watch(fault_limit=1)

    async def work(channel: LoopChannel) -> None:
        rows = np.zeros((20_000_000, 2), np.float32)
        for _ in range(3):
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            channel.ask({"x": rows}, ("predict",), lambda _, error, to=future: to.set_result(error))
            assert isinstance(await future, PredictionFailed | ModelUnavailable)

    try:
        run(loaded, work)
    finally:
        loaded.close()


def test_repeated_faults_end_in_quarantine_with_a_reason_and_without_restarts(model: IsolatedModel) -> None:
    reasons: list[str] = []
    starts: list[None] = []
    model.watch(fault_limit=2, on_quarantine=reasons.append, on_restart=lambda: starts.append(None))

    async def work(channel: LoopChannel) -> None:
        for _ in range(2):
            with pytest.raises(ModelUnavailable):
                await ask(channel, CRASH)
        count = len(starts)
        for _ in range(5):
            with pytest.raises(ModelUnavailable, match=r"quarantine after 2 faults .*SIGSEGV") as caught:
                await ask(channel, 1)
            assert caught.value.retry_after_s is not None
            assert caught.value.retry_after_s > 100
        assert len(starts) == count

    run(model, work)
    assert len(reasons) == 1


def test_what_crashes_in_company_is_nobody_s_fault_yet(model: IsolatedModel) -> None:
    reasons: list[str] = []
    model.watch(fault_limit=1, on_quarantine=reasons.append)

    async def work(channel: LoopChannel) -> None:
        with pytest.raises(ModelUnavailable):
            await ask(channel, 1, CRASH, is_shared=True)
        assert await ask(channel, 1) == [[1, 0]]

    run(model, work)
    assert reasons == []


def test_an_error_of_our_own_is_logged_and_not_blamed_on_the_model(
    model: IsolatedModel, caplog: pytest.LogCaptureFixture
) -> None:
    reasons: list[str] = []
    model.watch(fault_limit=1, on_quarantine=reasons.append)

    async def work(channel: LoopChannel) -> None:
        await ask(channel, 1)
        pid, told = model.pid, asyncio.Event()
        found: list[Any] = []

        def next_done(answers: Any, error: Any) -> None:
            found.append(answers["predict"].tolist() if error is None else error)
            told.set()

        def done(answers: Any, error: Any) -> None:
            channel.ask({"x": np.array([[2, 0]], np.float32)}, ("predict",), next_done)
            raise ZeroDivisionError("ours")

        for values in ([[1, 0]], np.zeros((60_000, 2)).tolist()):  # a short frame, and one that goes by a thread
            told.clear()
            channel.ask({"x": np.array(values, np.float32)}, ("predict",), done)
            await asyncio.wait_for(told.wait(), 10)
        assert found == [[[2, 0]], [[2, 0]]]
        assert model.pid == pid

    run(model, work)
    assert reasons == []
    assert caplog.text.count("ZeroDivisionError: ours") == 2


def test_another_loop_takes_over_where_one_has_ended(model: IsolatedModel) -> None:
    for value in (1, 2, 3):
        assert run(model, lambda channel, value=value: ask(channel, value)) == [[value, 0]]  # type: ignore[misc]


def test_a_frame_reader_refuses_what_comes_after_the_answer() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        reader = wire.FrameReader(ours)
        wire.send(theirs, "answer", {"a": np.zeros(3)})
        wire.send(theirs, "answer", {"a": np.ones(3)})
        with pytest.raises(wire.WireError, match="more than its answer"):
            reader.read(wire.Limits())


@pytest.mark.parametrize("count", [1, 100, 20_000])
def test_a_frame_reader_reads_in_pieces(count: int) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    array = np.arange(float(count))
    data = b"".join(bytes(piece) for piece in wire.frame("answer", {"a": array}, call=3))
    with ours, theirs:
        reader = wire.FrameReader(ours)
        for _ in range(2):
            raw = None
            for at in range(0, len(data), 7001):
                theirs.sendall(data[at : at + 7001])
                raw = reader.read(wire.Limits()) or raw
            assert raw is not None
            header, arrays = raw.decode()
            assert header.facts == {"call": 3}
            assert np.array_equal(arrays["a"], array)
