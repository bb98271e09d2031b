"""Which version answers which route: cached, refreshed by the change feed, moved when the new version is loaded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Set
from concurrent.futures import Future
from typing import Any
from uuid import UUID

from modelpool.core.errors import Conflict, DatabaseUnavailable, ModelpoolError, NotFound, Quarantined
from modelpool.core.runtime.pool import ModelPool, PoolEntry
from modelpool.inference.resolution.cache import FeedCache
from modelpool.inference.resolution.lookup import Route, RouteKey, find_route
from modelpool.inference.resolution.traffic import answering

logger = logging.getLogger(__name__)

_MAX_ROUTES = 20_000
_REFUSAL_TTL_S = 2.0

Entry = PoolEntry[Any]  # what is loaded is none of a route's business


class RouteCache:
    """Routes by the names in the path.

    A route whose old version is in memory moves to the new one when that is loaded and warmed up, so that no request
    waits for an activation; where the new one cannot be loaded the route moves all the same, and its callers learn why.
    """

    def __init__(
        self, load: Callable[[Route], Future[Entry]], pool: ModelPool[Any], *, keep_previous_s: float = 0.0
    ) -> None:
        self._load = load
        self._pool = pool
        self._keep_previous_s = keep_previous_s
        self._cache: FeedCache[RouteKey, Route] = FeedCache(
            max_entries=_MAX_ROUTES, refusal_ttl_s=_REFUSAL_TTL_S, remembers=(NotFound, Conflict, Quarantined)
        )
        self._moves: dict[RouteKey, Route] = {}
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

    def refresh(self, models: set[UUID], *, gone: Set[UUID] = frozenset()) -> None:
        """Look again at every cached route of these models; away from the versions ``gone`` it moves without waiting.

        What was deleted answers nobody, not even until another version is loaded: requests wait for that one.
        """
        stale = [key for key, route in list(self._cache.entries.items()) if route.key.model_id in models]
        for key in stale:
            try:
                self._turn(key, find_route(key), gone=gone)
            except DatabaseUnavailable:
                raise
            except ModelpoolError:
                self._cache.invalidate(lambda other, _, key=key: other == key)  # type: ignore[misc]

    def _turn(self, key: RouteKey, new: Route, *, gone: Set[UUID]) -> None:
        """Let ``new`` take the place of what is there as soon as every version that it needs is in memory."""
        with self._lock:
            old = self.find(key)
            if old is None:  # it went meanwhile: who asks next finds the new one
                return
            self._moves[key] = new
        before, after = ({route.key: route for route in answering(either)} for either in (old, new))
        held = [entry for pool_key in before if (entry := self._pool.pin(pool_key)) is not None]
        may_wait = bool(held) and not any(pool_key.version_id in gone for pool_key in before)
        missing = [route for pool_key, route in after.items() if pool_key not in before] if may_wait else []
        replaced = [entry for entry in held if entry.key not in after]
        turn = _Turn(key, old=old, new=new, replaced=replaced, waits_for=len(missing))
        for entry in held:
            entry.uses -= 1
            if entry.key in after:
                self._pool.release(entry)
        if not missing:
            self._finish(turn)
        for route in missing:
            self._begin_load(turn, route)

    def _begin_load(self, turn: _Turn, route: Route) -> None:
        try:
            self._load(route).add_done_callback(lambda done: self._arrive(turn, route, done))
        except ModelpoolError as error:
            failed: Future[Entry] = Future()
            failed.set_exception(error)
            self._arrive(turn, route, failed)

    def _arrive(self, turn: _Turn, route: Route, done: Future[Entry]) -> None:
        error = done.exception()
        if error is not None:
            logger.warning("version %s of %s is to answer but cannot be loaded: %s", route.number, route.model, error)
        with self._lock:
            turn.waits_for -= 1
            is_last = not turn.waits_for
            if error is None:
                turn.loaded.append(done.result())
        if is_last:
            self._finish(turn)

    def _finish(self, turn: _Turn) -> None:
        """Move the route; what answered until now was held in memory, and stays for a while for a roll-back."""
        self._move(turn)
        for entry in turn.replaced:
            self._pool.keep(entry.key, self._keep_previous_s)
        for entry in turn.replaced + turn.loaded:
            self._pool.release(entry)

    def _move(self, turn: _Turn) -> None:
        """Let the route point to the new version, unless a later change wants another one, or it was read anew."""
        with self._lock:
            if self._moves.get(turn.key) is turn.new:
                del self._moves[turn.key]
                self._cache.replace(turn.key, old=turn.old, new=turn.new)


class _Turn:
    """A route on its way: the versions it was answered by, pinned, and those it waits for."""

    def __init__(self, key: RouteKey, *, old: Route, new: Route, replaced: list[Entry], waits_for: int) -> None:
        self.key = key
        self.old, self.new = old, new
        self.replaced = replaced
        self.loaded: list[Entry] = []
        self.waits_for = waits_for
