"""Having versions loaded into the pool, and waiting for them: one load however many ask, none of what was given up."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from functools import partial

from modelpool.conf import ServingSettings
from modelpool.core.errors import ModelUnavailable
from modelpool.core.metrics import catalogue
from modelpool.core.runtime.pool import ModelPool, PoolEntry
from modelpool.core.runtime.process.isolated_model import IsolatedModel
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.inference.loading.quarantining import QuarantineReports
from modelpool.inference.loading.served import ServedModel, load_version
from modelpool.inference.resolution.lookup import Route

logger = logging.getLogger(__name__)

_SIZE_FACTOR = 3  # of a file's size to its memory, before it is measured
_SLOW_LOAD = "The model takes too long to load; try again."

Entry = PoolEntry[ServedModel]


class Loader:
    """Loads versions into ``pool``; those that run in a process of their own are started by ``host``.

    A version whose process fails too often is reported to ``given_up``, and not loaded again before it is released.
    Whoever waits gets the model pinned, for ``serving.load_timeout`` at most: then the pin is given back by itself, and
    :class:`~modelpool.core.errors.ModelUnavailable` raised.
    """

    def __init__(
        self,
        pool: ModelPool[ServedModel],
        host: ModelHost,
        *,
        given_up: QuarantineReports,
        settings: ServingSettings,
    ) -> None:
        self._pool = pool
        self._host = host
        self._given_up = given_up
        self._fault_limit = settings.fault_limit
        self._timeout_s = float(settings.load_timeout)
        self._inline_limit_s = float(settings.inline_limit)

    def begin(self, route: Route, *, is_use: bool = True) -> Future[Entry]:
        """Begin to load where needed, and return a future of the model, pinned; see :meth:`ModelPool.load`.

        Raises :class:`~modelpool.core.errors.Quarantined` for what was given up here.
        """
        self._given_up.check(route)
        hint = route.size_bytes * _SIZE_FACTOR
        load = partial(load_version, route, self._host, watch=self._watch, inline_limit_s=self._inline_limit_s)
        return self._pool.load(route.key, load, size_hint=hint, is_use=is_use)

    async def obtain(self, route: Route) -> Entry:
        """Return the model, pinned, loading it where needed."""
        future = self.begin(route)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._timeout_s)
        except TimeoutError as error:
            self._release_later(future)
            raise ModelUnavailable(_SLOW_LOAD, retry_after_s=5) from error
        except asyncio.CancelledError:
            self._release_later(future)
            raise

    def obtain_blocking(self, route: Route, *, is_use: bool = True) -> Entry:
        """As :meth:`obtain`, for threads; ``is_use`` says that somebody asked for the model."""
        future = self.begin(route, is_use=is_use)
        try:
            return future.result(self._timeout_s)
        except TimeoutError as error:
            self._release_later(future)
            raise ModelUnavailable(_SLOW_LOAD, retry_after_s=5) from error

    def give_up(self, route: Route, reason: str) -> None:
        """Load the version no more, and have the registry told why."""
        logger.error("version %s of %s is in quarantine after %s", route.number, route.model, reason)
        catalogue.MODEL_QUARANTINES.inc()
        self._given_up.report(route, f"repeated faults: {reason}")

    def _watch(self, model: IsolatedModel, route: Route) -> None:
        """Follow the faults of a model in a process: too many put its version into quarantine."""
        model.watch(
            fault_limit=self._fault_limit,
            on_quarantine=partial(self.give_up, route),
            on_restart=catalogue.MODEL_RESTARTS.inc,
        )

    def _release_later(self, future: Future[Entry]) -> None:
        """Nobody waits any more: give back the pin that may still come."""

        def release(done: Future[Entry]) -> None:
            if not done.cancelled() and done.exception() is None:
                self._pool.release(done.result())

        if not future.cancel():
            future.add_done_callback(release)
