"""Who computes what waits in a lane: a model process that the loop talks to, or a thread."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, thread_time
from typing import Any

from modelpool.core.errors import Draining
from modelpool.core.formats.base import Arrays, LoadedModel
from modelpool.core.runtime.process.channel import LoopChannel
from modelpool.core.runtime.process.isolated_model import IsolatedModel
from modelpool.inference.queues.lanes import Answers, Done

Learn = Callable[[int, float], None]
"""Is told the rows and the seconds of a call that succeeded."""


class ProcessRunner:
    """A model in its own process; one call at a time."""

    parallel = 1

    def __init__(self, model: IsolatedModel, learn: Learn) -> None:
        self._channel = LoopChannel(model, asyncio.get_running_loop())
        self._learn = learn
        self.detach = self._channel.detach

    def ask(self, inputs: Arrays, outputs: tuple[str, ...], done: Done, *, is_shared: bool) -> None:
        """Send the rows; the loop is told of the answer."""
        began = perf_counter()

        def finish(answers: Answers | None, error: Exception | None) -> None:
            try:
                if answers:
                    self._learn(len(next(iter(answers.values()))), perf_counter() - began)
            finally:  # whoever waits is told in any case
                done(answers, error)

        self._channel.ask(inputs, outputs, finish, is_shared=is_shared)


class ThreadRunner:
    """A compiled model in threads that all models share; one model has at most half of them.

    A call's cost is the processor time of its thread: the time on the clock would count how busy everybody else is,
    and a model that was slow once in a crowd would stay slow in the books.
    """

    def __init__(self, model: LoadedModel, learn: Learn, executor: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        self._predict, self._learn, self._executor = model.predict, learn, executor
        self.parallel = max((os.cpu_count() or 1) // 2, 1) if model.is_thread_safe else 1

    def ask(self, inputs: Arrays, outputs: tuple[str, ...], done: Done, *, is_shared: bool) -> None:
        """Compute in a thread."""

        def work() -> tuple[Answers, float]:
            began = thread_time()
            return self._predict(inputs, outputs), thread_time() - began

        try:
            future = self._loop.run_in_executor(self._executor, work)
        except RuntimeError:
            self._loop.call_soon(done, None, Draining("The server is shutting down."))
            return
        future.add_done_callback(lambda found: self._finish(found, done))

    def _finish(self, found: asyncio.Future[Any], done: Done) -> None:
        if found.cancelled():
            done(None, Draining("The server is shutting down."))
            return
        error = found.exception()
        if error is not None:
            done(None, error if isinstance(error, Exception) else RuntimeError(str(error)))
            return
        answers, seconds = found.result()
        try:
            if answers:
                self._learn(len(next(iter(answers.values()))), seconds)
        finally:
            done(answers, None)

    def detach(self) -> None:
        """Nothing is held."""
