"""The one way to predict: the fast lane and Django's view both come here.

Names are resolved, keys checked and models held in caches that the change feed keeps true; a request that finds
everything there runs no SQL. Cheap compiled models run in the event loop itself; the rest has a queue for each model
(:mod:`~modelpool.inference.queues.execution`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import Any, TypeVar, cast

import msgspec

from modelpool.conf import ServingSettings
from modelpool.core.codecs.base import Encoder, InferenceRequest
from modelpool.core.errors import DatabaseUnavailable, ModelpoolError
from modelpool.core.problems import status_of
from modelpool.core.runtime.jail.guard import Guard, Verdict
from modelpool.core.runtime.pool import ModelPool, PoolEntry
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.core.tracing import Trace
from modelpool.inference.changes import ChangeHandler
from modelpool.inference.feed import ChangeFeed
from modelpool.inference.loading.loader import Loader
from modelpool.inference.loading.preloading import Preloading, find_wanted, is_full_enough
from modelpool.inference.loading.quarantining import QuarantineReports
from modelpool.inference.loading.served import ServedModel
from modelpool.inference.loading.upkeep import PoolMeter, Upkeep
from modelpool.inference.observation.comparisons import Comparisons
from modelpool.inference.observation.monitor import RECORD_S, Monitor, NoMonitor, Recorder
from modelpool.inference.observation.shadow import Copy, Shadows
from modelpool.inference.queues.execution import INLINE_BYTES, Engine
from modelpool.inference.resolution.lookup import Route, RouteKey, find_route
from modelpool.inference.resolution.principals import KeyCache, KnownKey
from modelpool.inference.resolution.routes import RouteCache
from modelpool.inference.resolution.traffic import answering

logger = logging.getLogger(__name__)

_SQL_THREADS = 4

_NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})

R = TypeVar("R")
Entry = PoolEntry[ServedModel]


class DataPlane:
    """Caches, pool and threads of one process; :meth:`start` before use, :meth:`close` after.

    ``workers`` is how many processes of this node share ``settings.memory_budget``. ``monitor`` is told what is held
    and used. ``await_verdict`` is that of :class:`~modelpool.core.runtime.jail.guard.Guard`.
    """

    def __init__(
        self,
        settings: ServingSettings,
        *,
        host: ModelHost | None = None,
        workers: int = 1,
        monitor: Monitor | None = None,
        await_verdict: Callable[[float], Verdict | None] | None = None,
    ) -> None:
        self.host = host or ModelHost(
            int(settings.model_memory_limit),
            predict_timeout_s=float(settings.predict_timeout),
            load_timeout_s=float(settings.load_timeout),
            guard=Guard(allows_weak=settings.allow_weak_isolation, await_verdict=await_verdict),
        )
        budget = int(settings.memory_budget) // workers
        meter = PoolMeter()
        self.pool: ModelPool[ServedModel] = ModelPool(budget, tenant_share=settings.tenant_share, observer=meter)
        self._upkeep = Upkeep(self.pool, budget, meter=meter)
        self._monitor = monitor or NoMonitor()
        self.keys = KeyCache()
        self.recorder = Recorder(self._monitor, self.pool, self.keys)
        self._given_up = QuarantineReports()
        self.loader = Loader(self.pool, self.host, given_up=self._given_up, settings=settings)
        self.routes = RouteCache(
            partial(self.loader.begin, is_use=False), self.pool, keep_previous_s=float(settings.keep_previous)
        )
        self._sql = ThreadPoolExecutor(_SQL_THREADS, "modelpool-sql")
        self._key_sql = ThreadPoolExecutor(1, "modelpool-keys")  # strangers' too: more would hold up the event loop
        self.engine = Engine(settings, self.pool.release)
        self.comparisons = Comparisons()
        self.shadows = Shadows(self._ask_shadow, self.comparisons)
        changes = ChangeHandler(self.pool, keys=self.keys, routes=self.routes, given_up=self._given_up)
        self.feed = ChangeFeed(on_changes=changes.apply, on_reset=changes.reset, on_idle=self._be_idle, idle_s=RECORD_S)
        self._pending: dict[tuple[str, object], asyncio.Future[object]] = {}
        self._preloading = Preloading(
            partial(find_wanted, settings.preload, self._monitor),
            self._preload,
            before=self.keys.load_recent,
            is_full=partial(is_full_enough, self.pool),
            deadline_s=float(settings.preload_deadline),
        )

    @property
    def is_preloaded(self) -> bool:
        """Whether what is to be loaded at the start is, or took too long."""
        return self._preloading.is_done

    def start(self) -> None:
        """Begin to follow the change feed, and load in the background what ``serving.preload`` says."""
        if asyncio._get_running_loop() is not None:
            self.engine.bind()
        self.feed.start()
        self._preloading.start()

    def close(self) -> None:
        """End threads and models; predictions that run are finished."""
        self._preloading.stop()
        self.shadows.close()
        self.feed.stop()
        self._given_up.close()
        for executor in (self._sql, self._key_sql):
            executor.shutdown(wait=True, cancel_futures=True)
        self.pool.close()
        self.engine.close()
        self.host.close()
        self.comparisons.flush(self._monitor)
        self.recorder.close()

    def check_fresh(self) -> None:
        """Raise :class:`DatabaseUnavailable` when the feed was unreadable for so long that caches are worthless."""
        if not self.feed.is_fresh:
            raise DatabaseUnavailable("The database does not answer; try again.", retry_after_s=2)

    # --- in the event loop --------------------------------------------------------------------------------------------

    async def load_key(self, secret: bytes) -> KnownKey:
        """Ask the database who a secret stands for; raise :class:`~modelpool.core.errors.NotAuthenticated`."""
        self.keys.check(secret)
        return await self._once(("key", secret), lambda: self.keys.load(secret), executor=self._key_sql)

    def is_loading_key(self, secret: bytes) -> bool:
        """Say whether the database is being asked for this one already."""
        return ("key", secret) in self._pending

    async def load_route(self, key: RouteKey) -> Route:
        """Ask the database which version answers."""
        self.routes.raise_refusal(key)
        return await self._once(("route", key), lambda: self.routes.load(key), executor=self._sql)

    def load_entry(self, route: Route) -> Coroutine[Any, Any, Entry]:
        """Return the model, pinned, loading it where needed; any number of callers load it once."""
        return self.loader.obtain(route)

    def answer(
        self,
        entry: Entry,
        body: bytes,
        *,
        content_type: bytes,
        method: str | None = None,
        trace: Trace | None = None,
    ) -> bytes | Awaitable[bytes]:
        """Return the answer where it is had at once, otherwise what to await for it; the pin is given back in any case.

        What is expected to be quick runs here and now; the rest joins the model's queue.
        Whoever is cancelled while awaiting leaves that queue.
        """
        if len(body) > INLINE_BYTES:
            return self._answer_long(entry, body, content_type=content_type, method=method, trace=trace)
        found = self._answer_inline(entry, body, content_type=content_type, method=method)
        return found if isinstance(found, bytes) else self.engine.answer(entry, *found, trace=trace)

    def _answer_inline(
        self, entry: Entry, body: bytes, *, content_type: bytes, method: str | None
    ) -> bytes | tuple[InferenceRequest, Encoder]:
        """Return the answer of what is expected to be quick, otherwise the request for the engine, still pinned."""
        served = entry.item
        try:
            request, encode = served.read(body, content_type=content_type, method=method)
            if request.n_rows > served.inline_rows:
                return request, encode
            answer = served.answer(request, encode)
        except BaseException:
            self.pool.release(entry)
            raise
        self.pool.release(entry)
        return answer

    async def _answer_long(
        self, entry: Entry, body: bytes, *, content_type: bytes, method: str | None, trace: Trace | None
    ) -> bytes:
        read = partial(entry.item.read, body, content_type=content_type, method=method)
        try:
            request, encode = await asyncio.get_running_loop().run_in_executor(self.engine.codec, read)
        except BaseException:
            self.pool.release(entry)
            raise
        return await self.engine.answer(entry, request, encode, trace=trace)

    async def _ask_shadow(self, copy: Copy) -> bytes:
        entry = self.pool.pin(copy.shadow.key) or await self.load_entry(copy.shadow)
        answer = self.answer(entry, copy.body, content_type=copy.content_type, method=copy.method)
        return answer if isinstance(answer, bytes) else await answer

    async def _once(self, key: tuple[str, object], read: Callable[[], R], *, executor: ThreadPoolExecutor) -> R:
        """Run ``read`` in a thread, once for all who ask for the same at the same time."""
        self.check_fresh()
        pending = self._pending.get(key)
        if pending is None:
            loop = asyncio.get_running_loop()
            pending = self._pending[key] = asyncio.ensure_future(_as_object(loop.run_in_executor(executor, read)))
            pending.add_done_callback(lambda done: self._settle(key, done))
        return cast("R", await asyncio.shield(pending))

    def _settle(self, key: tuple[str, object], done: asyncio.Future[object]) -> None:
        self._pending.pop(key, None)
        if not done.cancelled():
            done.exception()  # marks it as seen, should every asker have left

    # --- in threads ---------------------------------------------------------------------------------------------------

    def answer_blocking(
        self,
        key: RouteKey,
        body: bytes,
        *,
        content_type: bytes,
        method: str | None = None,
        headers: Mapping[bytes, bytes] = _NO_HEADERS,
    ) -> tuple[bytes, Route]:
        """Answer from a thread of Django's, for a caller whose permission is checked already; say which route did.

        ``headers`` (names in lower case) say whom traffic rules keep at one version.
        """
        self.check_fresh()
        route = self.routes.find(key)
        if route is None:
            self.routes.raise_refusal(key)
            route = self.routes.load(key)
        if route.traffic is not None:
            route = route.traffic.choose(headers)
        began, status = monotonic(), 200
        try:
            entry = self.pool.pin(route.key) or self.loader.obtain_blocking(route)
            return self._answer_entry(entry, body, content_type=content_type, method=method), route
        except ModelpoolError as error:
            status = status_of(error)
            raise
        finally:
            if route.variant:
                self.comparisons.answered(route, status, monotonic() - began)

    def check_version(self, key: RouteKey) -> None:
        """Load the version that ``key`` names and let it answer its own example; raises what prevents that."""
        route = find_route(key)
        entry = self.loader.obtain_blocking(route, is_use=False)
        if route.signature.example is None:
            self.pool.release(entry)
            return
        body = msgspec.json.encode({"instances": [route.signature.example]})
        self._answer_entry(entry, body, content_type=b"application/json", method=None)

    def _answer_entry(self, entry: Entry, body: bytes, *, content_type: bytes, method: str | None) -> bytes:
        found = self._answer_inline(entry, body, content_type=content_type, method=method)
        return found if isinstance(found, bytes) else self.engine.answer_blocking(entry, *found)

    def _preload(self, key: RouteKey) -> None:
        for route in answering(self.routes.load(key)):
            self.pool.release(self.loader.obtain_blocking(route, is_use=False))

    # --- beside the feed ----------------------------------------------------------------------------------------------

    def _be_idle(self) -> None:
        """Every few seconds: keep the memory within its bounds, and write down what is held and used."""
        self._upkeep.run()
        self.recorder.run()
        self.comparisons.flush(self._monitor)


async def _as_object(awaitable: Awaitable[R]) -> object:
    return await awaitable
