"""Waiting for those who were answered, simulated: callers that come back and callers that come on their own account."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from modelpool import conf
from modelpool.core.codecs.base import InferenceRequest
from modelpool.core.runtime.batching import CostModel
from modelpool.inference.queues.calls import Call, QueueLimits, Tenants
from modelpool.inference.queues.lanes import Answers, Done, ModelLane
from modelpool.inference.queues.returns import Returns
from tests.inference.virtual_time import VirtualLoop

CALL_S, ROW_S = 0.004, 0.00001
COST = CostModel(call_s=CALL_S, row_s=ROW_S)


class Simulation:
    """A lane before a model that takes :data:`CALL_S` for a call and :data:`ROW_S` for each row."""

    parallel = 1

    def __init__(self, *, call_s: float = CALL_S, never_waits: bool = False) -> None:
        self.loop = asyncio.get_running_loop()
        self.call_s = call_s
        self.batches: list[int] = []
        self.latencies: list[float] = []
        self.random = random.Random(1)
        limits = QueueLimits.of(conf.ServingSettings(max_queue_per_model=100_000, max_queue_per_tenant=100_000))
        self.limits = limits
        self.lane = ModelLane(
            self,
            tenant="acme",
            cost=CostModel(call_s=call_s, row_s=ROW_S),
            joins=True,
            limits=limits,
            tenants=Tenants(),
            delivery=self,
            clock=self.loop.time,
        )
        if never_waits:
            self.lane._gather = lambda _: self.lane._pump()  # type: ignore[method-assign]

    def ask(self, inputs: Any, outputs: tuple[str, ...], done: Done, *, is_shared: bool) -> None:
        rows = inputs["x"]
        self.loop.call_later(self.call_s + ROW_S * len(rows), done, {"predict": rows}, None)

    def detach(self) -> None:
        """Hold nothing."""

    def deliver(self, call: Call, answers: Answers) -> None:
        if not call.future.done():
            call.future.set_result(call.encode(answers))

    def count_batch(self, n_rows: int, waited: list[float]) -> None:
        self.batches.append(n_rows)

    async def request(self, *, timeout_s: float = 30.0, dtype: Any = np.float64) -> float:
        """Ask for one row; return how long that took."""
        began = self.loop.time()
        request = InferenceRequest({"x": np.zeros(1, dtype)}, 1, ("predict",))
        call = Call(request, lambda _: b"", arrived=began, deadline=began + timeout_s, release=lambda: None, trace=None)
        self.lane.submit(call)
        await call.future
        self.latencies.append(self.loop.time() - began)
        return self.latencies[-1]

    async def keep_asking(self, times: int, *, back_s: Callable[[], float], dtype: Any = np.float64) -> None:
        """A client that asks again so long after each answer."""
        for _ in range(times):
            await self.request(dtype=dtype)
            await asyncio.sleep(back_s())

    async def arrive(self, count: int, *, per_second: float) -> None:
        """Requests that come on their own account."""
        tasks = []
        for _ in range(count):
            tasks.append(asyncio.ensure_future(self.request()))
            await asyncio.sleep(self.random.expovariate(per_second))
        await asyncio.gather(*tasks)

    def soon(self) -> float:
        """A client on the same machine."""
        return self.random.uniform(0.0001, 0.0006)


def simulate(work: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work())  # type: ignore[arg-type]


@pytest.mark.parametrize("clients", [2, 4, 16, 64])
def test_clients_that_come_back_at_once_share_every_call(clients: int) -> None:
    async def work() -> None:
        it = Simulation()
        await asyncio.gather(*(it.keep_asking(60, back_s=it.soon) for _ in range(clients)))
        settled = it.batches[len(it.batches) // 4 : len(it.batches) * 3 // 4]
        assert sum(settled) / len(settled) > 0.8 * clients
        assert sorted(it.latencies)[len(it.latencies) // 2] < 1.3 * (CALL_S + clients * ROW_S)

    simulate(work)


def test_without_the_wait_they_run_in_two_halves() -> None:
    async def work() -> None:
        it = Simulation(never_waits=True)
        await asyncio.gather(*(it.keep_asking(60, back_s=it.soon) for _ in range(16)))
        settled = it.batches[len(it.batches) // 2 : -2]
        assert sum(settled) / len(settled) < 9

    simulate(work)


def test_a_lone_client_never_waits() -> None:
    async def work() -> None:
        it = Simulation()
        await asyncio.gather(*(it.keep_asking(20, back_s=it.soon) for _ in range(8)))
        it.latencies.clear()
        await it.request()
        it.latencies.clear()
        await it.keep_asking(20, back_s=it.soon)
        assert max(it.latencies) < CALL_S + ROW_S + 0.0001

    simulate(work)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.1, 0.3, 0.6, 0.9, 1.5, 4.0])
def test_independent_requests_are_not_slower_for_it(load: float) -> None:
    """``load`` is of what the model could do without joining."""
    found = {}

    async def work(never_waits: bool) -> None:
        it = Simulation(never_waits=never_waits)
        await it.arrive(4000, per_second=load / CALL_S)
        found[never_waits] = sum(it.latencies) / len(it.latencies)

    for never_waits in (True, False):
        simulate(lambda n=never_waits: work(n))  # type: ignore[misc]
    assert found[False] < 1.02 * found[True]


def test_clients_that_think_before_they_ask_again_are_not_waited_for() -> None:
    async def work(never_waits: bool) -> float:
        it = Simulation(never_waits=never_waits)
        await asyncio.gather(*(it.keep_asking(60, back_s=lambda: it.random.uniform(0, 0.02)) for _ in range(6)))
        return sum(it.latencies) / len(it.latencies)

    found = []
    for never_waits in (True, False):

        async def run(never: bool = never_waits) -> None:
            found.append(await work(never))

        simulate(run)
    assert found[1] < 1.03 * found[0]


def test_waiting_ends_when_clients_stop_coming_back() -> None:
    async def work() -> None:
        it = Simulation()
        await asyncio.gather(*(it.keep_asking(40, back_s=it.soon) for _ in range(8)))
        it.latencies.clear()
        await asyncio.gather(*(it.keep_asking(60, back_s=lambda: 0.003) for _ in range(2)))
        assert sum(it.latencies[60:]) / len(it.latencies[60:]) < 1.6 * CALL_S

    simulate(work)


def test_nobody_waits_past_the_deadline() -> None:
    async def work() -> None:
        it = Simulation()
        await asyncio.gather(*(it.keep_asking(40, back_s=it.soon) for _ in range(8)))
        await asyncio.sleep(1)
        together = [asyncio.ensure_future(it.request()) for _ in range(3)]
        await asyncio.gather(*together)
        assert it.lane._gathering is not None
        late = await it.request(timeout_s=CALL_S + 0.0002)
        assert late < CALL_S + 0.0002

    simulate(work)


def test_others_columns_are_not_company() -> None:
    """Two kinds of requests that cannot be joined take turns anyway: a wait would only be lost."""
    found = []

    async def work(never_waits: bool) -> None:
        it = Simulation(never_waits=never_waits)
        kinds = [np.float64, np.float32]
        await asyncio.gather(*(it.keep_asking(60, back_s=it.soon, dtype=kinds[n % 2]) for n in range(2)))
        found.append(sum(it.latencies))

    for never_waits in (True, False):
        simulate(lambda n=never_waits: work(n))  # type: ignore[misc]
    assert found[1] < 1.01 * found[0]


# --- what is learnt ---------------------------------------------------------------------------------------------------


class Looks:
    """Calls that take :data:`CALL_S`, of which each is looked back at by the next."""

    def __init__(self, cost: CostModel = COST) -> None:
        self.returns = Returns(cost)
        self.now = 1.0

    def look(self, times: int, *, members: int, waiting: int, after: list[float]) -> float:
        """So many calls, after each of which somebody came at those times; what is waited after the last of them."""
        for _ in range(times):
            layout = "a" if waiting else None
            moment_s = self.returns.answered(self.now, members=members, waiting=waiting, layout=layout)
            for time in after:
                self.returns.came(self.now + time, n_rows=1, layout="a")
            self.now += CALL_S
        return moment_s


def test_nothing_is_waited_for_before_it_has_paid() -> None:
    looks = Looks()
    assert looks.look(1, members=8, waiting=8, after=[0.0001 * n for n in range(1, 9)]) == 0
    assert 0 < looks.look(1, members=8, waiting=8, after=[]) <= CALL_S


def test_callers_that_come_too_late_gain_nothing() -> None:
    assert Looks().look(5, members=8, waiting=8, after=[CALL_S * 0.8] * 8) == 0


def test_callers_that_come_evenly_gain_nothing() -> None:
    assert Looks().look(50, members=8, waiting=8, after=[CALL_S * (n + 0.5) / 8 for n in range(8)]) == 0


def test_the_moment_that_gathers_them_is_waited() -> None:
    looks = Looks()
    assert looks.look(5, members=8, waiting=8, after=[0.0002] * 6) == CALL_S / 8
    assert looks.look(50, members=8, waiting=8, after=[0.0007] * 6) == CALL_S / 4
    assert looks.look(100, members=8, waiting=8, after=[CALL_S * 0.9] * 8) == 0


def test_one_that_is_alone_is_not_looked_at() -> None:
    looks = Looks()
    assert looks.look(20, members=1, waiting=0, after=[0.0001]) == 0
    assert looks.look(1, members=1, waiting=1, after=[0.0001]) == 0
    assert looks.look(10, members=1, waiting=1, after=[0.0001]) > 0
    assert looks.look(1, members=1, waiting=0, after=[0.0001]) == 0


def test_a_model_that_costs_less_than_the_way_is_not_waited_for() -> None:
    looks = Looks(CostModel(call_s=0.00004, row_s=0.0))
    assert looks.look(5, members=8, waiting=8, after=[0.000001] * 8) == 0


@pytest.mark.parametrize("call_s", [0.0, 1e-300, 1e-12])
def test_a_call_that_seems_to_cost_nothing_for_a_while_spoils_nothing(call_s: float) -> None:
    """A line through calls of a busy machine may well go through zero."""
    cost = CostModel(call_s=CALL_S, row_s=ROW_S)
    looks = Looks(cost)
    looks.look(20, members=8, waiting=8, after=[0.0002] * 8)
    cost.call_s = call_s
    assert looks.look(100, members=8, waiting=8, after=[0.0002] * 8) == 0
    cost.call_s = CALL_S
    assert looks.look(50, members=8, waiting=8, after=[0.0002] * 8) > 0


def test_calls_at_one_instant_are_looked_back_at() -> None:
    returns = Returns(COST)
    for _ in range(3):
        returns.answered(5.0, members=2, waiting=2, layout="a")
        returns.came(5.0, n_rows=1, layout="a")
