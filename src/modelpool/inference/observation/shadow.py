"""Copies of requests for a version that is tried out: run after the answer, compared, and dropped when in the way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import random
from typing import Any

import msgspec
import numpy as np

from modelpool.core.comparisons import Figures, count_in
from modelpool.core.errors import Draining, ModelpoolError, Overloaded
from modelpool.core.metrics import catalogue
from modelpool.inference.observation.comparisons import Comparisons
from modelpool.inference.resolution.lookup import Route
from modelpool.inference.resolution.traffic import TrafficPlan

logger = logging.getLogger(__name__)

MAX_WAITING = 32
"""Copies that wait for one shadow; one runs at a time."""

_MAX_BYTES = 16 * 2**20  # of all copies that wait in this process
_BUSY_TURN_S = 0.005  # a turn of the event loop that takes longer says that the process is loaded
_PAUSE_S = 0.02
_LONG_BYTES = 64 * 1024  # answers that are compared in a thread
_CLOSE = 1e-6  # relative: numbers that are nearer count as the same answer


class _Answer(msgspec.Struct):
    predictions: list[Any]
    probabilities: list[Any] | None = None


_read = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True, slots=True)
class Copy:
    """An answered request: its body, what ``route`` answered, and how long that took."""

    shadow: Route
    route: Route
    body: bytes
    content_type: bytes
    method: str | None
    answer: bytes
    seconds: float

    @property
    def n_bytes(self) -> int:
        """What it keeps in memory."""
        return len(self.body) + len(self.answer)


Ask = Callable[[Copy], Awaitable[bytes]]


class Shadows:
    """The copies that wait in this process; used in one event loop.

    Each experiment has a queue of its own, so that a shadow that hangs keeps no other waiting. After each copy the
    loop is left alone for as long as that took, so shadows get at most half of what the requests leave.
    """

    def __init__(self, ask: Ask, comparisons: Comparisons) -> None:
        self._ask = ask
        self._comparisons = comparisons
        self._queues: dict[str, deque[Copy]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._n_bytes = 0
        self._is_closed = False

    def offer(
        self,
        plan: TrafficPlan,
        route: Route,
        *,
        body: bytes,
        content_type: bytes,
        method: str | None,
        answer: bytes,
        seconds: float,
    ) -> None:
        """Take a copy by lot, unless there are too many; costs a microsecond and never waits."""
        shadow = plan.shadow
        if shadow is None or shadow.number == route.number or random() >= plan.shadow_share:  # noqa: S311 - a lot
            return
        copy = Copy(shadow, route, body, content_type, method, answer, seconds)
        queue = self._queues.get(shadow.rule)
        if (
            self._is_closed
            or (queue is not None and len(queue) >= MAX_WAITING)
            or self._n_bytes + copy.n_bytes > _MAX_BYTES
        ):
            self._drop(copy)
            return
        self._n_bytes += copy.n_bytes
        if queue is not None:
            queue.append(copy)
            return
        self._queues[shadow.rule] = deque([copy])
        task = asyncio.get_running_loop().create_task(self._run(shadow.rule))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Take no more; what waits is dropped."""
        self._is_closed = True

    async def _run(self, rule: str) -> None:
        queue, loop = self._queues[rule], asyncio.get_running_loop()
        try:
            while queue and not self._is_closed:
                began = loop.time()
                await asyncio.sleep(0)
                copy = queue.popleft()
                self._n_bytes -= copy.n_bytes
                if loop.time() - began > _BUSY_TURN_S:
                    self._drop(copy)
                    await asyncio.sleep(_PAUSE_S)
                    continue
                began = loop.time()
                await self._try(copy)
                await asyncio.sleep(min(loop.time() - began, _PAUSE_S))
        finally:
            del self._queues[rule]
            for copy in queue:
                self._n_bytes -= copy.n_bytes
                self._drop(copy)

    async def _try(self, copy: Copy) -> None:
        loop, figures = asyncio.get_running_loop(), Figures(requests=1)
        count_in(figures.main_latency, copy.seconds)
        began = loop.time()
        try:
            answer = await self._ask(copy)
            count_in(figures.latency, loop.time() - began)
            if len(answer) > _LONG_BYTES:
                await loop.run_in_executor(None, compare, copy, answer, figures)
            else:
                compare(copy, answer, figures)
        except (Overloaded, Draining):
            self._drop(copy)
            return
        except ModelpoolError:
            figures.errors += 1
        except Exception:  # the edge of a task: a shadow harms nobody, whatever it does
            logger.exception("a copy for version %s of %s failed", copy.shadow.number, copy.shadow.model)
            figures.errors += 1
        catalogue.SHADOWED.labels("failed" if figures.errors else "differing" if figures.differing else "equal").inc()
        self._comparisons.mirrored(copy.shadow, against=copy.route.number, figures=figures)

    def _drop(self, copy: Copy) -> None:
        catalogue.SHADOWED.labels("dropped").inc()
        self._comparisons.mirrored(copy.shadow, against=copy.route.number, figures=Figures(dropped=1))


def compare(copy: Copy, answer: bytes, figures: Figures) -> None:
    """Add to ``figures`` how two answers to one request differ.

    Labels differ or do not; numbers, and probabilities where they were asked for, also have a distance.
    """
    main, other = _read(copy.answer), _read(answer)
    figures.rows += len(main.predictions)
    if copy.route.signature.outputs[0].dtype.startswith("float"):
        figures.differing += _measure(main.predictions, other.predictions, figures)
    else:
        figures.differing += sum(a != b for a, b in zip(main.predictions, other.predictions, strict=True))
        if main.probabilities and other.probabilities:
            _measure(main.probabilities, other.probabilities, figures)


def _measure(main: list[Any], other: list[Any], figures: Figures) -> int:
    """Add the distances of numbers; return in how many rows they differ. Nothing is as near to nothing as can be.

    What has no distance, such as text from a version that does not keep to its signature, differs in every row.
    """
    try:
        one, two = np.array(main, dtype=np.float64), np.array(other, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return len(main)
    if one.shape != two.shape:
        return len(main)
    far = ~np.isclose(one, two, rtol=_CLOSE, atol=1e-12, equal_nan=True)
    distances = np.abs(one - two)
    distances = distances[np.isfinite(distances)]
    figures.values += distances.size
    figures.difference_sum += float(distances.sum())
    figures.difference_max = max(figures.difference_max, float(distances.max(initial=0.0)))
    return int(far.reshape(len(main), -1).any(axis=1).sum())
