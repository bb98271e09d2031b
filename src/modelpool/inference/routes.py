"""Which version answers which route: cached, refreshed by the change feed, moved when the new version is loaded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from uuid import UUID

from modelpool.core.errors import Conflict, DatabaseUnavailable, ModelpoolError, NotFound, Quarantined
from modelpool.core.runtime.pool import ModelPool, PoolEntry, PoolKey
from modelpool.inference.cache import FeedCache
from modelpool.inference.lookup import Route, RouteKey, find_route
from modelpool.inference.served import ServedModel

logger = logging.getLogger(__name__)

_MAX_ROUTES = 20_000
_REFUSAL_TTL_S = 2.0

Entry = PoolEntry[ServedModel]


class RouteCache:
    """Routes by the names in the path.

    A route whose old version is in memory moves to the new one when that is loaded and warmed up, so that no request
    waits for an activation; where the new one cannot be loaded the route moves all the same, and its callers learn why.
    """

    def __init__(
        self, load: Callable[[Route], Future[Entry]], pool: ModelPool[ServedModel], *, keep_previous_s: float = 0.0
    ) -> None:
        self._load = load
        self._pool = pool
        self._keep_previous_s = keep_previous_s
        self._cache: FeedCache[RouteKey, Route] = FeedCache(
            max_entries=_MAX_ROUTES, refusal_ttl_s=_REFUSAL_TTL_S, remembers=(NotFound, Conflict, Quarantined)
        )
        self._moves: dict[RouteKey, PoolKey] = {}
        self._lock = threading.Lock()
        self.find = self._cache.entries.get

    def raise_refusal(self, key: RouteKey) -> None:
        """Raise again what this route was refused with a moment ago."""
        self._cache.raise_refusal(key)

    def load(self, key: RouteKey) -> Route:
        """Ask the database, and remember what it says."""
        return self._cache.fill(key, find_route)

    def forget_tenants(self, tenants: set[UUID]) -> None:
        """Drop the routes of these tenants, and all refusals."""
        self._cache.invalidate(lambda _, route: route.key.tenant_id in tenants)

    def forget_all(self) -> None:
        """Drop everything."""
        self._cache.invalidate()

    def refresh(self, models: set[UUID]) -> None:
        """Look again at every cached route of these models."""
        stale = [(key, route) for key, route in list(self._cache.entries.items()) if route.key.model_id in models]
        for key, route in stale:
            try:
                self._turn(key, old=route, new=find_route(key))
            except DatabaseUnavailable:
                raise
            except ModelpoolError:
                self._cache.invalidate(lambda other, _, key=key: other == key)  # type: ignore[misc]

    def _turn(self, key: RouteKey, *, old: Route, new: Route) -> None:
        with self._lock:
            self._moves[key] = new.key
        held = self._pool.pin(old.key) if new.key != old.key else None
        if held is None:
            self._move(key, new)
        else:
            self._load(new).add_done_callback(lambda done: self._finish(key, new, done, replaced=held))

    def _finish(self, key: RouteKey, new: Route, done: Future[Entry], *, replaced: Entry) -> None:
        """Move the route; what answered until now was held in memory, and stays for a while for a roll-back."""
        self._move(key, new)
        replaced.uses -= 1
        self._pool.keep(replaced.key, self._keep_previous_s)
        self._pool.release(replaced)
        error = done.exception()
        if error is None:
            self._pool.release(done.result())
        else:
            logger.warning("version %s of %s is active but cannot be loaded: %s", new.number, new.model, error)

    def _move(self, key: RouteKey, new: Route) -> None:
        """Let the route point to ``new``, unless a later change wants another version."""
        with self._lock:
            if self._moves.get(key) == new.key:
                del self._moves[key]
                self._cache.replace(key, new)
