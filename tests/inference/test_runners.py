"""Whoever waits for a model is told how it ended, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from modelpool.core.formats import FORMATS
from modelpool.core.formats.base import LoadedModel
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.inference.queues.lanes import Runner
from modelpool.inference.queues.runners import ProcessRunner, ThreadRunner
from tests.core.formats import hostile


@pytest.fixture(scope="module")
def in_process() -> Iterator[LoadedModel]:
    host, data = ModelHost(), hostile.identity()
    model = host.load(data, format="onnx", signature=FORMATS["onnx"].signature_of(data))
    yield model
    model.close()
    host.close()


@pytest.mark.parametrize("runs_in_thread", [True, False])
def test_the_caller_is_answered_where_the_books_of_costs_cannot_be_kept(
    in_process: Any, runs_in_thread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def learn(n_rows: int, seconds: float) -> None:
        raise ZeroDivisionError("ours")

    async def work(executor: ThreadPoolExecutor) -> None:
        runner: Runner = ProcessRunner(in_process, learn)
        if runs_in_thread:
            runner.detach()
            runner = ThreadRunner(in_process, learn, executor)
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        rows = {"x": np.array([[1, 2]], np.float32)}
        runner.ask(rows, ("predict",), lambda answers, error: told.set_result((answers, error)), is_shared=False)
        answers, error = await asyncio.wait_for(told, 10)
        assert error is None
        assert answers["predict"].tolist() == [[1, 2]]
        runner.detach()

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(work(executor))
    assert "ZeroDivisionError: ours" in caplog.text
