"""The price of a process of its own: ``python benchmarks/bench_isolated.py [--calls 2000]``.

The same model in this process and in a jailed child, asked by an event loop as the server does and by a thread; 1 row
and 1,000 rows, a logistic regression and a forest, as an estimator and compiled. Calls take turns, so that all see
the same machine. The limit is a bare process that gets a message, is busy for as long as the model takes here, and
answers: what it takes to wake two processes. The price is what a child costs beyond this process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import ping_pong
import uvloop
from register_model import fit, signature_of
from report import print_table, write_results

from modelpool.core.compile.estimator import compile_estimator
from modelpool.core.formats.base import TableArrays
from modelpool.core.formats.registry import FORMATS
from modelpool.core.runtime.batching import bytes_of as inputs_bytes
from modelpool.core.runtime.process.channel import LoopChannel
from modelpool.core.runtime.process.isolation import ModelHost

Ask = Callable[[TableArrays], Awaitable[Any]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(_measure_all(options.calls))
    columns = [
        "model",
        "rows",
        "in process p50 µs",
        "p99",
        "limit p50",
        "p99",
        "child, loop p50",
        "p99",
        "child, thread p50",
        "p99",
        "price",
        "beyond the limit",
    ]
    print_table(columns, rows)
    print(write_results("isolated", {"columns": columns, "rows": rows, "calls": options.calls}))


async def _measure_all(calls: int) -> list[list[Any]]:
    host = ModelHost()
    found = []
    try:
        for kind in ("logistic", "forest"):
            estimator, data = fit(kind)
            signature = signature_of(data)
            compiled = compile_estimator(estimator, signature=signature, sample=data).data
            assert compiled is not None
            files = {"sklearn": FORMATS["sklearn"].save(estimator), "onnx": compiled}
            for format, file in files.items():
                for n_rows in (1, 1000):
                    numbers = np.ascontiguousarray(np.resize(data.to_numpy(), (n_rows, data.shape[1])))
                    inputs = TableArrays(numbers=numbers, number_names=tuple(data.columns))
                    found.append(
                        [f"{kind}, {format}", n_rows]
                        + await _measure(host, file, format=format, signature=signature, inputs=inputs, calls=calls)
                    )
    finally:
        host.close()
    return found


async def _measure(
    host: ModelHost, file: bytes, *, format: str, signature: Any, inputs: TableArrays, calls: int
) -> list[float]:
    FORMATS[format].preload()  # as the process that children are forked from does
    here = FORMATS[format].load(file, signature)
    child = await asyncio.to_thread(host.load, file, format=format, signature=signature)
    loop = asyncio.get_running_loop()
    channel = LoopChannel(child, loop)
    limit, limit_process = ping_pong.start()
    limit.setblocking(False)
    answered: asyncio.Future[bytes] = loop.create_future()
    loop.add_reader(limit.fileno(), lambda: answered.set_result(limit.recv(65536)))

    async def ask_here(rows: TableArrays) -> Any:
        return here.predict(rows, ["predict"])

    async def ask_limit(_: TableArrays) -> Any:
        nonlocal answered
        answered = loop.create_future()
        limit.send(bare)
        return await answered

    async def ask_child(rows: TableArrays) -> Any:
        future: asyncio.Future[Any] = loop.create_future()
        channel.ask(rows, ["predict"], lambda answers, error: future.set_result(error or answers))
        return await future

    async def ask_thread(rows: TableArrays) -> Any:
        return await loop.run_in_executor(None, child.predict, rows, ["predict"])

    ways: dict[str, Ask] = {"here": ask_here, "limit": ask_limit, "loop": ask_child, "thread": ask_thread}
    times: dict[str, list[float]] = {name: [] for name in ways}
    once = sorted([await _timed(ask_here, inputs) for _ in range(11)])[5]
    bare = ping_pong.message(work_s=once, ask_bytes=min(inputs_bytes(inputs), 60_000), answer_bytes=120)
    for number in range(max(20, min(calls, int(4 / max(once, 1e-5)) // 3))):
        for name, ask in ways.items():
            spent = await _timed(ask, inputs)
            if number >= 5:
                times[name].append(spent * 1e6)
        await asyncio.sleep(0)
    loop.remove_reader(limit.fileno())
    limit.close()
    limit_process.wait(10)
    channel.detach()
    child.close()
    figures = [round(value, 1) for spent in times.values() for value in (statistics.median(spent), _p99(spent))]
    here, bare_p50, child_p50 = figures[0], figures[2], figures[4]
    return [*figures, round(child_p50 - here, 1), round(child_p50 - bare_p50, 1)]


async def _timed(ask: Ask, rows: TableArrays) -> float:
    began = time.perf_counter()
    await ask(rows)
    return time.perf_counter() - began


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


if __name__ == "__main__":
    main()
