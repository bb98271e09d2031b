"""The queue in front of one model: it runs at once when the model is idle, and joins what arrives while it is busy.

A model that is idle never waits for company. One that gets free takes all that has collected, up to a cap, in the
order of arrival; only requests of one layout go together, and those left over are first the next time.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Protocol

import numpy as np

from modelpool.core.errors import ModelUnavailable, Overloaded
from modelpool.core.formats.base import Arrays
from modelpool.core.runtime.batching import CostModel, join, split
from modelpool.core.runtime.process.answers import OutOfMemory, WrongAnswer, check_rows
from modelpool.inference.queues.calls import Call, QueueLimits, Suspects, Tenants
from modelpool.inference.queues.returns import Returns

logger = logging.getLogger(__name__)

Answers = dict[str, np.ndarray]
Done = Callable[[Answers | None, Exception | None], None]

_PATIENCE_CALLS = 32  # of one model that may wait for each other, however slow it is
_TICK_S = 0.001  # of the timers of uvloop and of epoll; shorter times are watched
_MAX_SPOILED = 2  # joined calls that failed though each of their members alone did not


class Runner(Protocol):
    """Who computes: a model process, or a thread."""

    parallel: int
    """Calls that it takes at the same time."""

    def ask(self, inputs: Arrays, outputs: tuple[str, ...], done: Done, *, is_shared: bool) -> None:
        """Compute; ``done`` is called once, later, in the loop."""

    def detach(self) -> None:
        """Let go of the loop, from any thread."""


class Delivery(Protocol):
    """What a lane tells the engine."""

    def deliver(self, call: Call, answers: Answers) -> None:
        """Write the answer and give it to the caller."""

    def count_batch(self, n_rows: int, waited: list[float]) -> None:
        """Note what ran together, and how long its members waited."""


class ModelLane:
    """The queue of one loaded model; used in one event loop, but for :meth:`detach`."""

    def __init__(
        self,
        runner: Runner,
        *,
        tenant: object,
        cost: CostModel,
        joins: bool,
        limits: QueueLimits,
        tenants: Tenants,
        delivery: Delivery,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.detach = runner.detach
        self.joins = joins
        self._runner, self._cost, self._limits = runner, cost, limits
        self._tenant, self._tenants, self._delivery = tenant, tenants, delivery
        self._waiting: deque[Call] = deque()
        self._rows_waiting = 0
        self._running = 0
        self._began = self._ends = 0.0
        self._spoiled = 0
        self._clock = clock
        self._returns = Returns(cost)
        self._until = 0.0
        self._gathering: asyncio.Handle | None = None

    # --- coming and going ---------------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Run the call, or let it wait; raise :class:`Overloaded` where that is in vain or there is no room."""
        self._check_room(call)
        self._tenants.enter(self._tenant)
        call.timer = self.loop.call_at(call.deadline, self._expire, call)
        self._waiting.append(call)
        self._rows_waiting += call.n_rows
        self._returns.came(self._clock(), n_rows=call.n_rows, layout=call.layout)
        self._pump()

    def abandon(self, call: Call) -> None:
        """The caller has left: a call that waits leaves as well, one that runs is finished for nobody."""
        if self._remove(call):
            self._leave(call)

    def _expire(self, call: Call) -> None:
        call.expire()
        self.abandon(call)

    def _remove(self, call: Call) -> bool:
        try:
            self._waiting.remove(call)
        except ValueError:
            return False
        self._rows_waiting -= call.n_rows
        return True

    def _leave(self, call: Call) -> None:
        """The model is done with the call."""
        if call.has_left:
            return
        call.has_left = True
        if call.timer is not None:
            call.timer.cancel()
        self._tenants.leave(self._tenant)
        call.release()

    # --- admission ----------------------------------------------------------------------------------------------------

    def expected_wait(self) -> float:
        """Return how long a call that comes now will wait, by what calls cost and by how many there are."""
        if self._running < self._runner.parallel:
            return 0.0
        now = self.loop.time()
        running_s = self._ends - now if now < self._ends else now - self._began
        calls = math.ceil(self._rows_waiting / self._cap()) if self.joins else len(self._waiting)
        calls = min(calls, len(self._waiting))
        queued_s = calls * self._cost.call_s + self._rows_waiting * self._cost.row_s
        return running_s + queued_s / self._runner.parallel

    def _check_room(self, call: Call) -> None:
        wait_s = self.expected_wait()
        if len(self._waiting) >= self._limits.per_model:
            raise Overloaded("Too many predictions wait for this model; try again.", retry_after_s=max(wait_s, 0.1))
        if self._tenants.counts[self._tenant] >= self._limits.per_tenant:
            raise Overloaded("This tenant has too many predictions waiting; try again.", retry_after_s=max(wait_s, 0.1))
        own_s = self._cost.estimate(call.n_rows)
        if wait_s > max(self._limits.wait_s, _PATIENCE_CALLS * own_s):
            raise Overloaded(
                f"The model is busy: this prediction would wait {wait_s:.1f} s; try again.", retry_after_s=wait_s
            )
        if wait_s and self.loop.time() + wait_s + own_s > call.deadline:
            raise Overloaded("The model is too busy to answer in time; try again.", retry_after_s=wait_s)

    # --- running ------------------------------------------------------------------------------------------------------

    def _cap(self) -> int:
        return min(self._limits.batch_rows, self._cost.rows_worth_joining()) if self.joins else 1

    def _gather(self, members: int) -> None:
        """After requests were answered give their callers a moment to come back, where that has paid."""
        if not self.joins or self._runner.parallel > 1:
            self._pump()
            return
        layout, now = self._waiting[0].layout if self._waiting else None, self._clock()
        moment_s = self._returns.answered(now, members=members, waiting=len(self._waiting), layout=layout)
        if moment_s:
            self._until = now + moment_s
            self._gathering = self.loop.call_soon(self._watch)
        self._pump()

    def _has_gathered(self) -> bool:
        """Whether all came that might, or those who are there may not wait for the others."""
        if self._returns.are_all or self._rows_waiting >= self._cap():
            return True
        if not self._waiting:
            return False
        head = self._waiting[0]
        ends = self.loop.time() + self._until - self._clock() + self._cost.estimate(head.n_rows)
        return head.is_alone or ends >= head.deadline

    def _watch(self) -> None:
        left_s = self._until - self._clock()
        if left_s <= 0:
            self._gathering = None
            self._pump()
        elif left_s < _TICK_S:
            self._gathering = self.loop.call_soon(self._watch)
        else:
            self._gathering = self.loop.call_later(left_s, self._watch)

    def _pump(self) -> None:
        if self._gathering is not None:
            if not self._has_gathered():
                return
            self._gathering.cancel()
            self._gathering = None
        while self._running < self._runner.parallel and self._waiting:
            batch = self._take()
            if batch:
                self._start(batch)

    def _take(self) -> list[Call]:
        """Take the oldest call, and those after it that may run with it."""
        now, first = self.loop.time(), self._waiting.popleft()
        self._rows_waiting -= first.n_rows
        if now >= first.deadline:  # its timer is late, as the loop was busy
            first.expire()
            self._leave(first)
            return []
        batch, rows, size = [first], first.n_rows, first.n_bytes
        cap = self._cap()
        if not self._waiting or first.is_alone or rows >= cap:
            return batch
        left: deque[Call] = deque()
        for call in self._waiting:
            fits = rows + call.n_rows <= cap and size + call.n_bytes <= self._limits.batch_bytes
            if fits and not call.is_alone and call.layout == first.layout and now < call.deadline:
                batch.append(call)
                rows, size = rows + call.n_rows, size + call.n_bytes
            else:
                left.append(call)
        self._waiting = left
        self._rows_waiting -= rows - first.n_rows
        return batch

    def _start(self, batch: list[Call]) -> None:
        rows = sum(call.n_rows for call in batch)
        now = self.loop.time()
        self._running += 1
        self._began, self._ends = now, now + self._cost.estimate(rows)
        self._delivery.count_batch(rows, [now - call.arrived for call in batch])
        for call in batch:
            if call.trace is not None:
                call.trace.mark("queue")
        done = partial(self._finish, batch, rows)
        try:
            inputs = join([call.request.inputs for call in batch])
            self._runner.ask(inputs, batch[0].request.outputs, done, is_shared=len(batch) > 1)
        except Exception as error:  # noqa: BLE001  such as no memory for the joined rows: each alone may pass
            self.loop.call_soon(done, None, error)

    def _finish(self, batch: list[Call], rows: int, answers: Answers | None, error: Exception | None) -> None:
        self._running -= 1
        try:
            self._pass_on(batch, rows, answers, error)
        except Exception as own:
            logger.exception("a model's answer could not be passed on")
            for call in batch:
                self._remove(call)
                call.fail(own)
                self._leave(call)
            self._pump()

    def _pass_on(self, batch: list[Call], rows: int, answers: Answers | None, error: Exception | None) -> None:
        if answers is not None:
            try:
                check_rows(answers, n_rows=rows)
            except WrongAnswer as wrong:
                error = ModelUnavailable(f"The model {wrong}.", retry_after_s=1)
        if error is not None or answers is None:
            self._fail(batch, error or ModelUnavailable("The model gave no answer."))
            self._pump()
            return
        parts = split(answers, [call.n_rows for call in batch]) if len(batch) > 1 else [answers]
        self._gather(len(batch))
        for call, part in zip(batch, parts, strict=True):
            self._delivery.deliver(call, part)
            self._judge(call, has_failed=False)
            self._leave(call)

    def _fail(self, batch: list[Call], error: Exception) -> None:
        """Let the members of a joined call run alone, so that only the bad one fails; pass on what one caused alone."""
        if len(batch) > 1:
            suspects = Suspects(len(batch))
            for call in reversed(batch):
                call.suspects = suspects
                self._again(call)
            return
        (call,) = batch
        if isinstance(error, OutOfMemory):
            if not call.is_retried:
                call.is_retried = True
                self._again(call)
                return
            error = ModelUnavailable("The model needs more memory than its process may take.", retry_after_s=1)
        call.fail(error)
        self._judge(call, has_failed=True)
        self._leave(call)

    def _again(self, call: Call) -> None:
        """Put it in front, to run alone; a caller that has left, or waited too long, is not worth it."""
        if call.future.done():
            self._judge(call, has_failed=True)
            self._leave(call)
            return
        call.is_alone = True
        self._waiting.appendleft(call)
        self._rows_waiting += call.n_rows

    def _judge(self, call: Call, *, has_failed: bool) -> None:
        """Stop joining for a model that fails for requests together and answers each of them alone."""
        suspects = call.suspects
        if suspects is None:
            return
        call.suspects = None
        suspects.left -= 1
        suspects.has_failed |= has_failed
        if suspects.left == 0 and not suspects.has_failed:
            self._spoiled += 1
            if self._spoiled >= _MAX_SPOILED and self.joins:
                self.joins = False
                logger.warning(
                    "a model fails for requests together that it answers alone; they are not joined any more"
                )
