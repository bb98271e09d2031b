"""What waits for a model runs together when it is free; nobody gets another's row, and only the bad one fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import numpy as np
import pytest

from modelpool import conf
from modelpool.core.codecs.base import InferenceRequest
from modelpool.core.errors import ModelUnavailable, Overloaded, PredictionFailed
from modelpool.core.runtime.batching import CostModel, bytes_of
from modelpool.inference.queues.calls import Call, QueueLimits, Tenants
from modelpool.inference.queues.lanes import Answers, Done, ModelLane

BAD, SPOILS = 666.0, 667.0


class Model:
    """A model whose calls end when the test says so; doubles numbers, and refuses rows that hold :data:`BAD`.

    With a :data:`SPOILS` row it answers one row too few, in company only.
    """

    parallel = 1

    def __init__(self) -> None:
        self.asked: list[list[float]] = []
        self._ends: list[Any] = []

    def ask(self, inputs: Any, outputs: tuple[str, ...], done: Done, *, is_shared: bool) -> None:
        rows = inputs["x"]
        self.asked.append(rows.tolist())
        loop = asyncio.get_running_loop()

        def end() -> None:
            if BAD in rows:
                loop.call_soon(done, None, PredictionFailed("no"))
            else:
                answers = rows * 2 if SPOILS not in rows or len(rows) == 1 else rows[1:]
                loop.call_soon(done, {"predict": answers}, None)

        self._ends.append(end)

    async def end_running(self) -> None:
        """Let the calls that run end."""
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        for _ in range(3):
            await asyncio.sleep(0)

    async def end_all(self) -> None:
        """Let every call end, also those that begin meanwhile."""
        while self._ends:
            await self.end_running()

    def detach(self) -> None:
        """Hold nothing."""


class Bench:
    """A lane before a model, and who asks it."""

    def __init__(self, *, joins: bool = True, cost: CostModel | None = None, **limits: Any) -> None:
        self.model = Model()
        self.tenants = Tenants()
        self.released: Counter[int] = Counter()
        self.batches: list[int] = []
        settings = conf.ServingSettings(**limits)
        self.limits = QueueLimits.of(settings)
        cost = cost or CostModel(call_s=0.0003, row_s=0.000001)
        self.lane = ModelLane(
            self.model, tenant="acme", cost=cost, joins=joins, limits=self.limits, tenants=self.tenants, delivery=self
        )

    def deliver(self, call: Call, answers: Answers) -> None:
        if not call.future.done():
            call.future.set_result(call.encode(answers))

    def count_batch(self, n_rows: int, waited: list[float]) -> None:
        self.batches.append(n_rows)

    def call(self, *values: float, dtype: Any = np.float64, timeout_s: float | None = None) -> Call:
        rows = np.array(values, dtype)
        now = self.lane.loop.time()
        call = Call(
            InferenceRequest({"x": rows}, len(rows), ("predict",)),
            lambda answers: repr(answers["predict"].tolist()).encode(),
            arrived=now,
            deadline=now + (self.limits.timeout_s if timeout_s is None else timeout_s),
            release=lambda: self.released.update([id(call)]),
        )
        self.lane.submit(call)
        return call

    def check_empty(self, *calls: Call) -> None:
        """Each pin was given back once, and nothing is counted any more."""
        assert [self.released[id(call)] for call in calls] == [1] * len(calls)
        assert not self.tenants.counts
        assert self.lane.expected_wait() == 0


def result_of(call: Call) -> Any:
    error = call.future.exception()
    return error if error is not None else call.future.result()


def run(work: Any) -> None:
    asyncio.run(work())


def test_an_idle_model_runs_at_once_and_a_busy_one_joins_what_arrives() -> None:
    async def work() -> None:
        bench = Bench()
        calls = [bench.call(1.0)]
        assert bench.model.asked == [[1.0]]
        calls += [bench.call(float(value), value + 0.5) for value in range(2, 6)]
        assert len(bench.model.asked) == 1
        await bench.model.end_all()
        assert bench.model.asked[1:] == [[2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5]]
        assert [result_of(call) for call in calls] == [
            b"[2.0]", b"[4.0, 5.0]", b"[6.0, 7.0]", b"[8.0, 9.0]", b"[10.0, 11.0]",
        ]  # fmt: skip
        assert bench.batches == [1, 8]
        bench.check_empty(*calls)

    run(work)


def test_the_cap_counts_rows_and_those_left_over_are_first_the_next_time() -> None:
    async def work() -> None:
        bench = Bench(max_batch_rows=3)
        calls = [bench.call(float(value)) for value in range(8)]
        await bench.model.end_all()
        assert bench.model.asked == [[0], [1, 2, 3], [4, 5, 6], [7]]
        long = bench.call(*map(float, range(10)))
        await bench.model.end_all()
        assert len(bench.model.asked[-1]) == 10
        bench.check_empty(*calls, long)

    run(work)


def test_the_cap_counts_bytes() -> None:
    async def work() -> None:
        size = bytes_of({"x": np.zeros(2)})
        bench = Bench(max_batch_bytes=conf.Size(2 * size))
        calls = [bench.call(value, value) for value in (1.0, 2.0, 3.0, 4.0)]
        await bench.model.end_all()
        assert bench.batches == [2, 4, 2]
        bench.check_empty(*calls)

    run(work)


def test_other_types_are_not_joined_but_wait_their_turn() -> None:
    async def work() -> None:
        bench = Bench()
        calls = [bench.call(1.0), bench.call(2, dtype=np.int32), bench.call(3.0), bench.call(4, dtype=np.int32)]
        await bench.model.end_all()
        assert bench.model.asked == [[1.0], [2, 4], [3.0]]
        assert result_of(calls[1]) == b"[4]"
        bench.check_empty(*calls)

    run(work)


def test_rows_that_are_not_cheaper_together_run_alone() -> None:
    async def work() -> None:
        for bench in (Bench(cost=CostModel(call_s=0.0, row_s=0.001)), Bench(joins=False)):
            calls = [bench.call(float(value)) for value in range(4)]
            await bench.model.end_all()
            assert bench.batches == [1, 1, 1, 1]
            bench.check_empty(*calls)

    run(work)


def test_of_a_batch_that_fails_only_the_bad_one_fails() -> None:
    async def work() -> None:
        bench = Bench()
        calls = [bench.call(value) for value in (1.0, 2.0, BAD, 3.0)]
        await bench.model.end_all()
        assert bench.model.asked == [[1], [2, BAD, 3], [2], [BAD], [3]]
        assert isinstance(result_of(calls[2]), PredictionFailed)
        assert [result_of(calls[at]) for at in (0, 1, 3)] == [b"[2.0]", b"[4.0]", b"[6.0]"]
        assert bench.lane.joins
        bench.check_empty(*calls)

    run(work)


def test_an_answer_of_too_few_rows_is_given_to_nobody_and_ends_joining() -> None:
    async def work() -> None:
        bench = Bench()
        for _ in range(2):
            calls = [bench.call(value) for value in (1.0, SPOILS, 3.0)]
            await bench.model.end_all()
            assert [result_of(call) for call in calls] == [b"[2.0]", b"[1334.0]", b"[6.0]"]
        assert not bench.lane.joins
        calls = [bench.call(value) for value in (1.0, 2.0, 3.0)]
        await bench.model.end_all()
        assert bench.batches[-3:] == [1, 1, 1]

    run(work)


def test_who_leaves_or_waited_too_long_is_not_computed() -> None:
    async def work() -> None:
        bench = Bench()
        first, left, late, last = bench.call(1.0), bench.call(2.0), bench.call(3.0, timeout_s=0.02), bench.call(4.0)
        bench.lane.abandon(left)
        with pytest.raises(ModelUnavailable, match=r"longer than 0\.02 s"):
            await late.future
        await bench.model.end_all()
        assert bench.model.asked == [[1], [4]]
        assert (result_of(first), result_of(last)) == (b"[2.0]", b"[8.0]")
        bench.check_empty(first, left, late, last)

    run(work)


def test_who_leaves_while_it_runs_keeps_the_model_until_it_is_done() -> None:
    async def work() -> None:
        bench = Bench()
        call = bench.call(1.0)
        call.future.cancel()
        bench.lane.abandon(call)
        assert not bench.released
        await bench.model.end_all()
        bench.check_empty(call)

    run(work)


def test_a_full_queue_refuses_at_once() -> None:
    async def work() -> None:
        bench = Bench(max_queue_per_model=2)
        calls = [bench.call(value) for value in (1.0, 2.0, 3.0)]
        with pytest.raises(Overloaded, match="this model") as caught:
            bench.call(4.0)
        assert caught.value.retry_after_s is not None
        await bench.model.end_all()
        bench.check_empty(*calls)
        bench.call(5.0)
        await bench.model.end_all()

    run(work)


def test_a_tenant_has_a_share() -> None:
    async def work() -> None:
        bench = Bench(max_queue_per_tenant=2)
        calls = [bench.call(value) for value in (1.0, 2.0)]
        with pytest.raises(Overloaded, match="tenant"):
            bench.call(3.0)
        await bench.model.end_all()
        bench.check_empty(*calls)

    run(work)


def test_the_queue_is_bounded_by_how_long_it_takes() -> None:
    async def work() -> None:
        bench = Bench(joins=False, cost=CostModel(call_s=0.1), max_queue_wait=conf.Duration(0.5))
        with pytest.raises(Overloaded, match=r"would wait \d+\.\d s") as caught:
            [bench.call(float(value)) for value in range(40)]
        assert caught.value.retry_after_s == pytest.approx(3.2, abs=0.2)
        await bench.model.end_all()
        assert 32 <= len(bench.model.asked) <= 34

    run(work)


def test_what_cannot_be_answered_in_time_is_refused_at_once() -> None:
    async def work() -> None:
        bench = Bench(joins=False, cost=CostModel(call_s=0.2), max_queue_wait=conf.Duration(60))
        alone = bench.call(1.0, timeout_s=0.1)  # an idle model tries
        with pytest.raises(Overloaded, match="in time"):
            bench.call(2.0, timeout_s=0.3)
        await bench.model.end_all()
        bench.check_empty(alone)

    run(work)


def test_an_error_of_our_own_fails_its_batch_at_once_and_the_lane_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        bench = Bench()
        deliver = bench.deliver

        def fail_for_some(call: Call, answers: Answers) -> None:
            if answers["predict"][0] == 6.0:
                raise ZeroDivisionError("ours")
            deliver(call, answers)

        bench.deliver = fail_for_some  # type: ignore[method-assign]
        calls = [bench.call(float(value)) for value in range(1, 6)]
        await bench.model.end_all()
        found = [result_of(call) for call in calls]
        assert found[:2] == [b"[2.0]", b"[4.0]"]
        assert [isinstance(one, ZeroDivisionError) for one in found[2:]] == [True] * 3
        bench.check_empty(*calls)
        last = bench.call(9.0)
        await bench.model.end_all()
        assert result_of(last) == b"[18.0]"
        bench.check_empty(*calls, last)

    run(work)
    assert "ZeroDivisionError: ours" in caplog.text


def test_an_error_of_our_own_while_members_run_again_leaves_nobody_behind(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ZeroDivisionError("ours")

    async def work() -> None:
        bench = Bench()
        calls = [bench.call(value) for value in (1.0, 2.0, BAD, 3.0, 4.0)]
        await bench.model.end_running()
        calls[3].future.cancel()  # has left, and cannot be let go
        calls[3].release = fail
        await bench.model.end_all()
        assert result_of(calls[0]) == b"[2.0]"
        assert [type(result_of(calls[number])) for number in (1, 2, 4)] == [ZeroDivisionError] * 3
        bench.check_empty(*calls[:3], calls[4])

    run(work)
    assert "ZeroDivisionError: ours" in caplog.text
