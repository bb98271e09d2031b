"""What a change in the registry means for what a process keeps in memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from modelpool.core.runtime.pool import ModelPool
from modelpool.inference.loading.quarantining import QuarantineReports
from modelpool.inference.loading.served import ServedModel
from modelpool.inference.resolution.lookup import find_gone
from modelpool.inference.resolution.principals import KeyCache
from modelpool.inference.resolution.routes import RouteCache
from modelpool.tenants.models import Change


class ChangeHandler:
    """Makes changes effective in the caches and the pool of a process; called in the thread of the feed.

    What is raised passes through: the feed comes again with the same changes, or resets.
    """

    def __init__(
        self,
        pool: ModelPool[ServedModel],
        *,
        keys: KeyCache,
        routes: RouteCache,
        given_up: QuarantineReports,
    ) -> None:
        self._pool = pool
        self._keys = keys
        self._routes = routes
        self._given_up = given_up

    def apply(self, changes: Sequence[Change]) -> None:
        """Make changes effective: keys at once, then routes, then what no route leads to and may not answer any more.

        A version that goes while a route still led to it would fail the requests that are on their way.
        """
        tenants = {UUID(change.ref) for change in changes if change.kind == Change.Kind.TENANT}
        models = {UUID(change.ref) for change in changes if change.kind == Change.Kind.MODEL}
        self._keys.forget({change.ref for change in changes if change.kind == Change.Kind.KEY}, tenants=tenants)
        self._routes.forget_tenants(tenants)
        gone = self._find_gone(models, tenants=tenants)
        self._routes.refresh(models, gone=gone)
        self._discard(gone, models=models)
        self._pool.forget_failures(lambda key: key.model_id in models or key.tenant_id in tenants)
        self._given_up.settle(models)

    def reset(self) -> None:
        """Ask anew about everything, after changes that may have been missed."""
        self._keys.forget_all()
        self._routes.forget_all()
        models = {key.model_id for key in self._pool.sizes()}
        self._discard(self._find_gone(models, tenants=set()), models=models)
        self._pool.forget_failures(lambda key: key.model_id in models)
        self._given_up.settle()

    def _find_gone(self, models: set[UUID], *, tenants: set[UUID]) -> set[UUID]:
        held = [key for key in self._pool.sizes() if key.model_id in models or key.tenant_id in tenants]
        return find_gone([key.version_id for key in held]) if held else set()

    def _discard(self, gone: set[UUID], *, models: set[UUID]) -> None:
        """Take out what may not answer, and what was given up here: a version that is released begins anew."""
        given_up = {item.key for item in self._pool.items() if item.is_given_up and item.key.model_id in models}
        self._pool.discard(lambda key: key.version_id in gone or key in given_up)
