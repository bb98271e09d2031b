"""The one way to predict: the fast lane and Django's view both come here.

Names are resolved, keys checked and models held in caches that the change feed keeps true; a request that finds
everything there runs no SQL. Cheap compiled models run in the event loop itself; the rest runs in threads, which for
models in child processes only wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar, cast
from uuid import UUID

from modelpool.conf import ServingSettings
from modelpool.core.errors import DatabaseUnavailable, Draining, ModelUnavailable
from modelpool.core.runtime.isolation import ModelHost
from modelpool.core.runtime.pool import ModelPool, PoolEntry
from modelpool.inference.feed import ChangeFeed
from modelpool.inference.lookup import Route, RouteKey, find_active, find_gone, find_versions, with_database
from modelpool.inference.monitor import RECORD_S, Monitor, NoMonitor, Recorder
from modelpool.inference.preloading import Preloading
from modelpool.inference.principals import KeyCache, KnownKey
from modelpool.inference.routes import RouteCache
from modelpool.inference.served import ServedModel, load_version
from modelpool.tenants.models import Change

logger = logging.getLogger(__name__)

INLINE_BODY_BYTES = 64 * 1024
"""Longer bodies are read in a thread: a megabyte of JSON takes milliseconds."""

_SIZE_FACTOR = 3  # of a file's size to its memory, before it is measured
_SQL_THREADS = 4
_HOST_THREADS = 32
_PRELOAD_SHARE = 0.8  # of the budget that preloading fills
_MAX_PRELOADED = 10_000

_SLOW_LOAD = "The model takes too long to load; try again."

R = TypeVar("R")
Entry = PoolEntry[ServedModel]


class DataPlane:
    """Caches, pool and threads of one process; :meth:`start` before use, :meth:`close` after.

    ``workers`` is how many processes of this node share ``settings.memory_budget``. ``monitor`` is told what is held
    and used.
    """

    def __init__(
        self,
        settings: ServingSettings,
        *,
        host: ModelHost | None = None,
        workers: int = 1,
        monitor: Monitor | None = None,
    ) -> None:
        self._settings = settings
        self.host = host or ModelHost(
            int(settings.model_memory_limit),
            predict_timeout_s=float(settings.predict_timeout),
            load_timeout_s=float(settings.load_timeout),
        )
        self.pool: ModelPool[ServedModel] = ModelPool(int(settings.memory_budget) // workers)
        self._monitor = monitor or NoMonitor()
        self.keys = KeyCache()
        self.recorder = Recorder(self._monitor, self.pool, self.keys)
        self.routes = RouteCache(self._load, self.pool)
        self.feed = ChangeFeed(
            on_changes=self._apply, on_reset=self._forget, on_idle=self.recorder.run, idle_s=RECORD_S
        )
        self.inline_limit_s = float(settings.inline_limit)
        self._sql = ThreadPoolExecutor(_SQL_THREADS, "modelpool-sql")
        self._compute = ThreadPoolExecutor(os.cpu_count() or 1, "modelpool-predict")
        self._waiting = ThreadPoolExecutor(_HOST_THREADS, "modelpool-host")
        self._pending: dict[tuple[str, object], asyncio.Future[object]] = {}
        self._preloading = Preloading(
            self._find_preloaded,
            self._preload,
            is_full=self._is_full_enough,
            deadline_s=float(settings.preload_deadline),
        )

    @property
    def is_preloaded(self) -> bool:
        """Whether what is to be loaded at the start is, or took too long."""
        return self._preloading.is_done

    def start(self) -> None:
        """Begin to follow the change feed, and load in the background what ``serving.preload`` says."""
        self.feed.start()
        self._preloading.start()

    def close(self) -> None:
        """End threads and models; predictions that run are finished."""
        self._preloading.stop()
        self.feed.stop()
        for executor in (self._sql, self._compute, self._waiting):
            executor.shutdown(wait=True, cancel_futures=True)
        self.pool.close()
        self.host.close()
        self.recorder.close()

    def check_fresh(self) -> None:
        """Raise :class:`DatabaseUnavailable` when the feed was unreadable for so long that caches are worthless."""
        if not self.feed.is_fresh:
            raise DatabaseUnavailable("The database does not answer; try again.", retry_after_s=2)

    # --- in the event loop --------------------------------------------------------------------------------------------

    async def load_key(self, secret: bytes) -> KnownKey:
        """Ask the database who a secret stands for; raise :class:`~modelpool.core.errors.NotAuthenticated`."""
        self.keys.check(secret)
        return await self._once(("key", secret), lambda: self.keys.load(secret))

    async def load_route(self, key: RouteKey) -> Route:
        """Ask the database which version answers."""
        self.routes.raise_refusal(key)
        return await self._once(("route", key), lambda: self.routes.load(key))

    async def load_entry(self, route: Route) -> Entry:
        """Return the model, pinned, loading it where needed; any number of callers load it once."""
        future = self._load(route)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._settings.load_timeout)
        except TimeoutError as error:
            _release_later(self.pool, future)
            raise ModelUnavailable(_SLOW_LOAD, retry_after_s=5) from error
        except asyncio.CancelledError:
            _release_later(self.pool, future)
            raise

    def answer_inline(self, entry: Entry, body: bytes, *, content_type: bytes, method: str | None) -> bytes | None:
        """Answer at once, or return ``None`` where a thread must; the entry stays pinned.

        The estimate is the running mean of what a row costs, times the rows.
        """
        served = entry.item
        if not served.runs_inline or len(body) > INLINE_BODY_BYTES:
            return None
        request, encode = served.read(body, content_type=content_type, method=method)
        if served.row_cost_s * request.n_rows > self.inline_limit_s:
            return None
        return served.answer(request, encode)

    async def answer_in_thread(self, entry: Entry, body: bytes, *, content_type: bytes, method: str | None) -> bytes:
        """Answer from a thread, which gives the pin back when it ends.

        Raises :class:`ModelUnavailable` past the time limit.
        """
        executor = self._compute if entry.item.runs_inline else self._waiting

        def work() -> bytes:
            return _answer(entry, body, content_type=content_type, method=method)

        future = _submit(executor, work, finally_=lambda: self.pool.release(entry))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._settings.predict_timeout)
        except TimeoutError as error:
            limit = self._settings.predict_timeout
            raise ModelUnavailable(f"The prediction took longer than {limit:g} s.", retry_after_s=1) from error

    async def _once(self, key: tuple[str, object], read: Callable[[], R]) -> R:
        """Run ``read`` in a thread, once for all who ask for the same at the same time."""
        self.check_fresh()
        pending = self._pending.get(key)
        if pending is None:
            loop = asyncio.get_running_loop()
            pending = self._pending[key] = asyncio.ensure_future(_as_object(loop.run_in_executor(self._sql, read)))
            pending.add_done_callback(lambda done: self._settle(key, done))
        return cast("R", await asyncio.shield(pending))

    def _settle(self, key: tuple[str, object], done: asyncio.Future[object]) -> None:
        self._pending.pop(key, None)
        if not done.cancelled():
            done.exception()  # marks it as seen, should every asker have left

    # --- in threads ---------------------------------------------------------------------------------------------------

    def predict_blocking(self, key: RouteKey, body: bytes, *, content_type: str, method: str | None = None) -> bytes:
        """Answer from a thread of Django's, for a caller whose permission is checked already; returns the JSON body."""
        self.check_fresh()
        route = self.routes.find(key)
        if route is None:
            self.routes.raise_refusal(key)
            route = self.routes.load(key)
        entry = self.pool.pin(route.key) or self._wait_for(route)
        try:
            return _answer(entry, body, content_type=content_type.encode("latin-1"), method=method)
        finally:
            self.pool.release(entry)

    def _wait_for(self, route: Route) -> Entry:
        future = self._load(route)
        try:
            return future.result(self._settings.load_timeout)
        except TimeoutError as error:
            _release_later(self.pool, future)
            raise ModelUnavailable(_SLOW_LOAD, retry_after_s=5) from error

    def _load(self, route: Route) -> Future[Entry]:
        hint = route.size_bytes * _SIZE_FACTOR
        return self.pool.load(route.key, lambda: load_version(route, self.host), size_hint=hint)

    def _find_preloaded(self) -> list[RouteKey]:
        names = self._settings.preload
        if names == "recent":
            return find_versions(with_database(self._monitor.most_used)(limit=_MAX_PRELOADED))
        return find_active(None if names == "active" else tuple(names))

    def _is_full_enough(self) -> bool:
        stats = self.pool.stats()
        return stats.held_bytes > _PRELOAD_SHARE * stats.budget_bytes

    def _preload(self, key: RouteKey) -> None:
        self.pool.release(self._wait_for(self.routes.load(key)))

    # --- in the thread of the feed ------------------------------------------------------------------------------------

    def _apply(self, changes: Sequence[Change]) -> None:
        """Make changes effective: keys at once, then deleted versions, then routes, which may have to load first."""
        tenants = {UUID(change.ref) for change in changes if change.kind == Change.Kind.TENANT}
        models = {UUID(change.ref) for change in changes if change.kind == Change.Kind.MODEL}
        self.keys.forget({change.ref for change in changes if change.kind == Change.Kind.KEY}, tenants=tenants)
        self.routes.forget_tenants(tenants)
        self._discard_gone(models, tenants=tenants)
        self.routes.refresh(models)

    def _discard_gone(self, models: set[UUID], *, tenants: set[UUID]) -> None:
        held = [key for key in self.pool.sizes() if key.model_id in models or key.tenant_id in tenants]
        gone = find_gone([key.version_id for key in held]) if held else set()
        self.pool.discard(lambda key: key.version_id in gone)
        self.pool.forget_failures(lambda key: key.model_id in models or key.tenant_id in tenants)

    def _forget(self) -> None:
        self.keys.forget_all()
        self.routes.forget_all()
        self._discard_gone({key.model_id for key in self.pool.sizes()}, tenants=set())


def _answer(entry: Entry, body: bytes, *, content_type: bytes, method: str | None) -> bytes:
    request, encode = entry.item.read(body, content_type=content_type, method=method)
    return entry.item.answer(request, encode)


def _submit(executor: Executor, work: Callable[[], R], *, finally_: Callable[[], None]) -> Future[R]:
    """Run ``work`` in a thread; ``finally_`` is called once, also when the work never began."""
    try:
        future = executor.submit(work)
    except RuntimeError as error:
        finally_()
        raise Draining("The server is shutting down.") from error
    future.add_done_callback(lambda _: finally_())
    return future


def _release_later(pool: ModelPool[ServedModel], future: Future[Entry]) -> None:
    """Nobody waits any more: give back the pin that may still come."""

    def release(done: Future[Entry]) -> None:
        if not done.cancelled() and done.exception() is None:
            pool.release(done.result())

    if not future.cancel():
        future.add_done_callback(release)


async def _as_object(awaitable: Awaitable[R]) -> object:
    return await awaitable
