"""Models in memory, within a budget of bytes: loaded once, shared, and given up when others are worth more.

A model that is there is had without a lock. Whoever holds one has it pinned: an evicted model is closed by its last
holder, never during a prediction. The two sides cannot miss each other: a holder pins, then looks whether the entry is
retired; an evictor retires, then looks whether it is pinned; each is one atomic step of the interpreter
(``list.append``, an assignment).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from modelpool.core.errors import ModelUnavailable, Unavailable
from modelpool.core.runtime.eviction import EvictionOrder, Ticket
from modelpool.core.runtime.loading import LoadQueue
from modelpool.core.runtime.memory import trim_heap

logger = logging.getLogger(__name__)

_MAX_REMEMBERED_FAILURES = 1000
_TRIM_SHARE = 1 / 16  # of the budget: so much is freed before the system is given it back


class PoolItem(Protocol):
    """What a pool keeps."""

    @property
    def size_bytes(self) -> int:
        """The memory it holds."""

    def close(self) -> None:
        """Give it back."""


T = TypeVar("T", bound=PoolItem)


class PoolKey(NamedTuple):
    """Every key begins with the tenant, so that no two tenants can ever share an entry."""

    tenant_id: Any
    model_id: Any
    version_id: Any


class Holding(NamedTuple):
    """A model in memory: ``since`` is when it was loaded, in seconds since 1970."""

    key: PoolKey
    size_bytes: int
    since: float


class PoolEntry(Generic[T]):
    """One loaded model; pinned while its ``pins`` are not empty.

    ``uses`` counts how often it was had, ``clock`` is the pool's when that was last, and ``kept_until`` (monotonic
    seconds) how long it counts as used, see :mod:`~modelpool.core.runtime.eviction`.
    """

    __slots__ = (
        "_uses_taken", "clock", "is_closed", "is_retired", "item", "kept_until", "key", "load_s", "pins", "since",
        "size_bytes", "ticket", "used_at", "uses",
    )  # fmt: skip

    def __init__(self, key: PoolKey, item: T, *, load_s: float) -> None:
        self.key = key
        self.item = item
        self.size_bytes = item.size_bytes
        self.load_s = load_s
        self.pins: list[None] = []
        self.since = time.time()
        self.used_at = time.monotonic()
        self.uses = 0
        self.clock = 0.0
        self.kept_until = 0.0
        self.ticket: Ticket | None = None
        self._uses_taken = 0
        self.is_retired = False
        self.is_closed = False

    @property
    def tenant_id(self) -> Any:
        """Whose model it is."""
        return self.key.tenant_id

    @property
    def is_pinned(self) -> bool:
        """Whether somebody holds it."""
        return bool(self.pins)

    def take_uses(self) -> int:
        """Return how often it was had since the last call."""
        uses = self.uses
        taken, self._uses_taken = uses - self._uses_taken, uses
        return taken


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Counts since the start, and what is held now."""

    budget_bytes: int
    held_bytes: int
    models: int
    loads: int
    failed_loads: int
    evictions: int


class PoolObserver(Protocol):
    """Told of what happens in a pool, in its own threads; must neither raise nor block."""

    def loaded(self, *, seconds: float) -> None:
        """A model was loaded."""

    def failed(self) -> None:
        """A model could not be loaded."""

    def evicted(self, *, unused_s: float) -> None:
        """A model went for want of room, ``unused_s`` after its last use."""

    def held(self, *, size_bytes: int, models: int) -> None:
        """What the pool holds now."""


class _NoObserver:
    def loaded(self, *, seconds: float) -> None: ...

    def failed(self) -> None: ...

    def evicted(self, *, unused_s: float) -> None: ...

    def held(self, *, size_bytes: int, models: int) -> None: ...


class _Flight(Generic[T]):
    """A load under way, and those who wait for it."""

    __slots__ = ("uses", "waiters")

    def __init__(self) -> None:
        self.uses = 0
        self.waiters: list[Future[PoolEntry[T]]] = []


class ModelPool(Generic[T]):
    """A bounded set of loaded models.

    ``budget_bytes`` bounds what unpinned models hold together; a model is loaded first and others are evicted after, so
    that for the time of a load up to ``reserve`` (a fraction of the budget) more is held. A tenant that holds more than
    ``tenant_share`` of the budget gives up its own models first, and of ``max_loads`` at the same time a tenant has at
    most ``max_tenant_loads``. A failed load is remembered for ``failure_ttl_s``, one of class
    :class:`~modelpool.core.errors.Unavailable` for its own ``retry_after_s``.
    """

    def __init__(
        self,
        budget_bytes: int,
        *,
        max_loads: int = 8,
        max_tenant_loads: int = 2,
        tenant_share: float = 0.5,
        reserve: float = 0.125,
        failure_ttl_s: float = 5.0,
        observer: PoolObserver | None = None,
    ) -> None:
        self._whole_budget = self._budget = budget_bytes
        self._reserve = reserve
        self._tenant_share = tenant_share
        self._failure_ttl_s = failure_ttl_s
        self._entries: dict[PoolKey, PoolEntry[T]] = {}
        self._order = EvictionOrder(int(budget_bytes * tenant_share))
        self._flights: dict[PoolKey, _Flight[T]] = {}
        self._failures: dict[PoolKey, tuple[float, Exception]] = {}
        self._lock = threading.RLock()
        self._uses: Counter[PoolKey] = Counter()
        self._held = self._expected = self._closed_bytes = 0
        self._loads = self._failed = self._evictions = 0
        self._is_closed = False
        self._observer: PoolObserver = observer or _NoObserver()
        self._queue = LoadQueue(max_loads, max_of_tenant=max_tenant_loads)
        self._closing = ThreadPoolExecutor(1, thread_name_prefix="modelpool-unload")

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def pin(self, key: PoolKey) -> PoolEntry[T] | None:
        """Return the model, pinned, or ``None`` when it is not in memory; give it back with :meth:`release`."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.pins.append(None)
        if entry.is_retired:
            self.release(entry)
            return None
        entry.used_at = time.monotonic()
        entry.clock = self._order.clock
        entry.uses += 1
        return entry

    def release(self, entry: PoolEntry[T]) -> None:
        """Give back one pin."""
        entry.pins.pop()
        if entry.is_retired and not entry.pins:
            self._close_once(entry)
        elif self._held > self._budget:
            with self._lock:
                self._evict_to(self._budget)

    def load(
        self, key: PoolKey, load: Callable[[], T], *, size_hint: int = 0, is_use: bool = True
    ) -> Future[PoolEntry[T]]:
        """Return a future of the model, pinned; many callers cause one call of ``load``, in a thread of the pool.

        ``size_hint`` is the expected size; room is made for it beforehand. The future raises what ``load`` raised, or
        :class:`~modelpool.core.errors.ModelUnavailable` for a model larger than the whole budget. A caller that no
        longer wants it cancels the future, or releases its result. ``is_use`` says that somebody asked for the model,
        who does not when it is loaded beforehand.
        """
        future: Future[PoolEntry[T]] = Future()
        with self._lock:
            entry = self.pin(key)
            failure = self._recent_failure(key)
            if entry is not None:
                entry.uses -= not is_use
                future.set_result(entry)
            elif failure is not None:
                future.set_exception(failure)
            elif self._is_closed:
                future.set_exception(ModelUnavailable("The server is shutting down."))
            else:
                flight = self._join_flight(key, load, size_hint=size_hint)
                flight.waiters.append(future)
                flight.uses += is_use
        return future

    @contextmanager
    def use(self, key: PoolKey, load: Callable[[], T], *, size_hint: int = 0) -> Iterator[T]:
        """Hold the model for a ``with`` block, loading it where needed; for threads."""
        entry = self.pin(key) or self.load(key, load, size_hint=size_hint).result()
        try:
            yield entry.item
        finally:
            self.release(entry)

    def discard(self, matches: Callable[[PoolKey], bool]) -> int:
        """Take models out, such as those of a deleted version; return how many were there."""
        with self._lock:
            gone = [entry for key, entry in self._entries.items() if matches(key)]
            for entry in gone:
                self._retire(entry)
        return len(gone)

    def keep(self, key: PoolKey, seconds: float) -> None:
        """Let a model count as used for so long, such as one that was replaced, for an instant roll-back."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                entry.kept_until = time.monotonic() + seconds

    def resize(self, budget_bytes: int) -> None:
        """Hold at most so much from now on, at most what the pool was made with."""
        with self._lock:
            self._budget = min(budget_bytes, self._whole_budget)
            self._evict_to(self._budget)

    def measure(self) -> None:
        """Look again at the sizes that models say they have, which may have grown."""
        for entry in list(self._entries.values()):
            size_bytes = entry.item.size_bytes
            if size_bytes != entry.size_bytes:
                with self._lock:
                    if not entry.is_retired:
                        self._held += size_bytes - entry.size_bytes
                        self._order.resize(entry, size_bytes)
                        self._evict_to(self._budget)

    def items(self) -> list[T]:
        """Return what is in memory now; it may be closed at any time by its last holder."""
        return [entry.item for entry in list(self._entries.values())]

    def forget_failures(self, matches: Callable[[PoolKey], bool]) -> None:
        """Let models that could not be loaded be tried again at once."""
        with self._lock:
            for key in [key for key in self._failures if matches(key)]:
                del self._failures[key]

    def stats(self) -> PoolStats:
        """Return a consistent picture."""
        with self._lock:
            counts = (self._loads, self._failed, self._evictions)
            return PoolStats(self._whole_budget, self._held, len(self._entries), *counts)

    def sizes(self) -> dict[PoolKey, int]:
        """Return what is in memory, and the bytes each holds."""
        with self._lock:
            return {key: entry.size_bytes for key, entry in self._entries.items()}

    def holdings(self) -> list[Holding]:
        """Return what is in memory."""
        with self._lock:
            return [Holding(key, entry.size_bytes, entry.since) for key, entry in self._entries.items()]

    def take_uses(self) -> Counter[PoolKey]:
        """Return how often each model was had since the last call, also those that are gone."""
        with self._lock:
            taken, self._uses = self._uses, Counter()
            for entry in self._entries.values():
                taken[entry.key] += entry.take_uses()
        return +taken

    def close(self) -> None:
        """Refuse new loads and close every model as soon as nobody holds it."""
        with self._lock:
            self._is_closed = True
        self._queue.close()
        self._closing.shutdown(wait=True)
        self.discard(lambda key: True)

    # --- loading ------------------------------------------------------------------------------------------------------

    def _recent_failure(self, key: PoolKey) -> Exception | None:
        until, error = self._failures.get(key, (0.0, None))
        return error.with_traceback(None) if error is not None and time.monotonic() < until else None

    def _join_flight(self, key: PoolKey, load: Callable[[], T], *, size_hint: int) -> _Flight[T]:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            self._queue.submit(key.tenant_id, lambda: self._run_flight(key, load, size_hint=size_hint))
        return flight

    def _run_flight(self, key: PoolKey, load: Callable[[], T], *, size_hint: int) -> None:
        """Make room, within the reserve, for all that is being loaded now; then load.

        Nobody goes beforehand for what is expected to be larger than the whole budget: it will hardly stay.
        """
        if size_hint > self._whole_budget:
            size_hint = 0
        with self._lock:
            self._expected += size_hint
            self._evict_to(self._budget + int(self._budget * self._reserve) - self._expected)
        try:
            self._try_load(key, load)
        finally:
            with self._lock:
                self._expected -= size_hint

    def _try_load(self, key: PoolKey, load: Callable[[], T]) -> None:
        started = time.monotonic()
        try:
            item = load()
            entry = PoolEntry(key, item, load_s=time.monotonic() - started)
            if entry.size_bytes > self._whole_budget:
                item.close()
                needs, has = entry.size_bytes >> 20, self._whole_budget >> 20
                raise ModelUnavailable(
                    f"The model takes {needs} MiB of memory and a web process's part of serving.memory_budget is "
                    f"{has} MiB.",
                    retry_after_s=60,
                )
        except Exception as error:  # noqa: BLE001 - whatever a loader raises is the answer of all who wait
            self._fail_flight(key, error)
        else:
            self._land_flight(entry)

    def _fail_flight(self, key: PoolKey, error: Exception) -> None:
        wait = error.retry_after_s if isinstance(error, Unavailable) else None
        with self._lock:
            flight = self._flights.pop(key)
            self._failed += 1
            self._observer.failed()
            while len(self._failures) >= _MAX_REMEMBERED_FAILURES:
                del self._failures[next(iter(self._failures))]
            self._failures[key] = (time.monotonic() + (wait or self._failure_ttl_s), error)
        for future in flight.waiters:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _land_flight(self, entry: PoolEntry[T]) -> None:
        with self._lock:
            flight = self._flights.pop(entry.key)
            self._failures.pop(entry.key, None)
            self._entries[entry.key] = entry
            self._held += entry.size_bytes
            self._order.add(entry)
            self._loads += 1
            self._observer.loaded(seconds=entry.load_s)
            wanted = [future for future in flight.waiters if future.set_running_or_notify_cancel()]
            entry.pins.extend([None] * (len(wanted) + 1))
            entry.uses += flight.uses
            self._evict_to(self._budget)
            self._observer.held(size_bytes=self._held, models=len(self._entries))
        for future in wanted:
            future.set_result(entry)
        self.release(entry)

    # --- eviction -----------------------------------------------------------------------------------------------------

    def _evict_to(self, limit: int) -> None:
        """Retire unpinned models until at most ``limit`` bytes are held; needs the lock."""
        while self._held > limit:
            entry: Any = self._order.next_to_go()
            if entry is None:
                return
            self._evictions += 1
            self._observer.evicted(unused_s=time.monotonic() - entry.used_at)
            self._retire(entry)

    def _retire(self, entry: PoolEntry[T]) -> None:
        """Take an entry out; its last holder closes it, or this call where nobody holds it; needs the lock."""
        del self._entries[entry.key]
        self._held -= entry.size_bytes
        self._uses[entry.key] += entry.take_uses()
        entry.is_retired = True
        self._order.remove(entry)
        self._observer.held(size_bytes=self._held, models=len(self._entries))
        if not entry.pins:
            self._close_once(entry)

    def _close_once(self, entry: PoolEntry[T]) -> None:
        with self._lock:
            if entry.is_closed:
                return
            entry.is_closed = True
            if not self._is_closed:  # under the lock: the thread ends after that is set
                self._closing.submit(self._close_item, entry)
                return
        entry.item.close()

    def _close_item(self, entry: PoolEntry[T]) -> None:
        """Close what was evicted; from time to time give its memory back to the system."""
        try:
            entry.item.close()
        except Exception:  # the edge of a thread, which would keep it to itself
            logger.exception("a model that was put out of memory could not be closed")
        self._closed_bytes += entry.size_bytes
        if self._closed_bytes > self._whole_budget * _TRIM_SHARE:
            self._closed_bytes = 0
            trim_heap()
