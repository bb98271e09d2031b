"""How requests that do not run inline get their answers: the lanes of all models, in the event loop of the process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from modelpool.conf import ServingSettings
from modelpool.core.codecs.base import Encoder, InferenceRequest
from modelpool.core.errors import Draining, ModelUnavailable
from modelpool.core.metrics import catalogue
from modelpool.core.runtime.pool import PoolEntry
from modelpool.core.runtime.process.isolated_model import IsolatedModel
from modelpool.core.tracing import Trace
from modelpool.inference.loading.served import ServedModel
from modelpool.inference.queues.calls import Call, QueueLimits, Tenants
from modelpool.inference.queues.lanes import Answers, ModelLane, Runner
from modelpool.inference.queues.runners import ProcessRunner, ThreadRunner

Entry = PoolEntry[ServedModel]
Release = Callable[[Entry], None]

INLINE_BYTES = 64 * 1024
"""Longer bodies are read, and longer answers written, in a thread: a megabyte of JSON takes milliseconds."""

_CODEC_THREADS = 2
_COUNT_S = 0.5
_GRACE_S = 5.0


class Engine:
    """The lanes of one process. They live in one event loop, that of the server; threads hand their calls over to it.

    A process without a server, such as a command, gets a loop in a thread when the first call needs it.
    """

    def __init__(self, settings: ServingSettings, release: Release) -> None:
        self._limits = QueueLimits.of(settings)
        self._release = release
        self._tenants = Tenants()
        self._compute = ThreadPoolExecutor(os.cpu_count() or 1, "modelpool-predict")
        self.codec = ThreadPoolExecutor(_CODEC_THREADS, "modelpool-codec")
        self._home: asyncio.AbstractEventLoop | None = None
        self._home_lock = threading.Lock()
        self._own_thread: threading.Thread | None = None
        self._is_closed = False
        self._waited: list[float] = []
        self._rows: list[int] = []

    # --- loops --------------------------------------------------------------------------------------------------------

    def bind(self) -> asyncio.AbstractEventLoop:
        """Make the running loop the home of the lanes, unless another one is; return the home."""
        running = asyncio.get_running_loop()
        with self._home_lock:
            if self._home is None or self._home.is_closed():
                self._home = running
            return self._home

    def _home_for_threads(self) -> asyncio.AbstractEventLoop:
        with self._home_lock:
            if self._is_closed:
                raise Draining("The server is shutting down.")
            if self._home is None or not self._home.is_running():
                self._home = asyncio.new_event_loop()
                self._own_thread = threading.Thread(target=self._home.run_forever, name="modelpool-loop", daemon=True)
                self._own_thread.start()
            return self._home

    def close(self) -> None:
        """End the threads; models are closed by then."""
        with self._home_lock:
            self._is_closed = True
        for executor in (self._compute, self.codec):
            executor.shutdown(wait=True, cancel_futures=True)
        if self._own_thread is not None and self._home is not None:
            self._home.call_soon_threadsafe(self._home.stop)
            self._own_thread.join()
            self._home.close()
        self._hand_over()

    # --- calls --------------------------------------------------------------------------------------------------------

    async def answer(
        self, entry: Entry, request: InferenceRequest, encode: Encoder, *, trace: Trace | None = None
    ) -> bytes:
        """Answer a request whose entry is pinned; the pin is given back in any case.

        Raises :class:`~modelpool.core.errors.Overloaded` at once where waiting is in vain, and
        :class:`~modelpool.core.errors.ModelUnavailable` for a model that fails or takes too long. A caller that is
        cancelled takes its request out of the queue.
        """
        home = self.bind()
        if home is asyncio.get_running_loop():
            return await self._answer(entry, request, encode, trace=trace)
        work = self._answer(entry, request, encode, trace=trace)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home))

    def answer_blocking(self, entry: Entry, request: InferenceRequest, encode: Encoder) -> bytes:
        """Answer a thread, through the same queue."""
        try:
            home = self._home_for_threads()
        except BaseException:
            self._release(entry)
            raise
        future = asyncio.run_coroutine_threadsafe(self._answer(entry, request, encode), home)
        try:
            return future.result(self._limits.timeout_s + _GRACE_S)
        except TimeoutError as error:
            future.cancel()
            raise ModelUnavailable("The prediction took too long.", retry_after_s=1) from error

    async def _answer(
        self, entry: Entry, request: InferenceRequest, encode: Encoder, *, trace: Trace | None = None
    ) -> bytes:
        loop = asyncio.get_running_loop()
        now = loop.time()
        try:
            if not request.n_rows:
                answer = encode(entry.item.empty_outputs(request))
                self._release(entry)
                return answer
            call = Call(
                request,
                encode,
                arrived=now,
                deadline=now + self._limits.timeout_s,
                release=lambda: self._release(entry),
                trace=trace,
            )
            lane = self._lane_of(entry, loop)
            lane.submit(call)
        except BaseException:
            self._release(entry)
            raise
        try:
            return await call.future
        except asyncio.CancelledError:
            lane.abandon(call)
            raise

    def _lane_of(self, entry: Entry, loop: asyncio.AbstractEventLoop) -> ModelLane:
        served = entry.item
        lane = served.lane
        if lane is None or lane.loop is not loop:
            if lane is not None:
                lane.detach()
            lane = served.lane = self._make_lane(entry)
        return lane

    def _make_lane(self, entry: Entry) -> ModelLane:
        served = entry.item
        model = served.model
        if isinstance(model, IsolatedModel):
            runner: Runner = ProcessRunner(model, served.learn)
        else:
            runner = ThreadRunner(model, served.learn, self._compute)
        return ModelLane(
            runner,
            tenant=entry.key.tenant_id,
            cost=served.cost,
            joins=served.joins,
            limits=self._limits,
            tenants=self._tenants,
            delivery=self,
        )

    # --- what lanes tell ----------------------------------------------------------------------------------------------

    def deliver(self, call: Call, answers: Answers) -> None:
        """Write the answer, a long one in a thread."""
        if call.future.done():
            return
        if sum(array.nbytes for array in answers.values()) > INLINE_BYTES:
            self._deliver_long(call, answers)
            return
        try:
            call.future.set_result(call.encode(answers))
        except Exception as error:  # noqa: BLE001  the caller's answer, whatever it is
            call.fail(error)

    def _deliver_long(self, call: Call, answers: Answers) -> None:
        try:
            written = asyncio.get_running_loop().run_in_executor(self.codec, call.encode, answers)
        except RuntimeError:  # the threads are gone; those that ran with this call still want their answers
            call.fail(Draining("The server is shutting down."))
            return
        written.add_done_callback(lambda done: _pass_on(done, call))

    def count_batch(self, n_rows: int, waited: list[float]) -> None:
        """Keep it in a list, which is added up twice a second."""
        if not self._rows:
            asyncio.get_running_loop().call_later(_COUNT_S, self._hand_over)
        self._rows.append(n_rows)
        self._waited += waited

    def _hand_over(self) -> None:
        rows, self._rows = self._rows, []
        waited, self._waited = self._waited, []
        catalogue.BATCH_ROWS.labels().observe_all(rows)
        catalogue.QUEUE_SECONDS.labels().observe_all(waited)


def _pass_on(done: asyncio.Future[bytes], call: Call) -> None:
    if done.cancelled():
        call.fail(Draining("The server is shutting down."))
        return
    error = done.exception()
    if error is not None:
        call.fail(error)
    elif not call.future.done():
        call.future.set_result(done.result())
