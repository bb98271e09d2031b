"""Who may load when: a few at a time, and of one tenant fewer, so that slow loads hold up nobody else's."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Job = Callable[[], None]


class LoadQueue:
    """Runs jobs in at most ``max_loads`` threads, at most ``max_of_tenant`` of one tenant at the same time.

    Tenants take turns, each in the order of its own jobs.
    """

    def __init__(self, max_loads: int, *, max_of_tenant: int) -> None:
        self._max_loads = max_loads
        self._max_of_tenant = max_of_tenant
        self._waiting: OrderedDict[Any, deque[Job]] = OrderedDict()
        self._running: Counter[Any] = Counter()
        self._n_running = 0
        self._changed = threading.Condition()
        self._executor = ThreadPoolExecutor(max_loads, thread_name_prefix="modelpool-load")

    def submit(self, tenant_id: Any, job: Job) -> None:
        """Run ``job``, which must not raise, as soon as it is the tenant's turn."""
        with self._changed:
            self._waiting.setdefault(tenant_id, deque()).append(job)
            self._start_some()

    def close(self) -> None:
        """Run what is waiting to its end, then end the threads."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._n_running)
        self._executor.shutdown(wait=True)

    def _start_some(self) -> None:
        blocked = 0
        while self._n_running < self._max_loads and blocked < len(self._waiting):
            tenant_id, jobs = next(iter(self._waiting.items()))
            if self._running[tenant_id] >= self._max_of_tenant:
                self._waiting.move_to_end(tenant_id)
                blocked += 1
                continue
            job = jobs.popleft()
            self._waiting.move_to_end(tenant_id)
            if not jobs:
                del self._waiting[tenant_id]
            self._running[tenant_id] += 1
            self._n_running += 1
            self._executor.submit(self._run, tenant_id, job)

    def _run(self, tenant_id: Any, job: Job) -> None:
        try:
            job()
        finally:
            with self._changed:
                self._n_running -= 1
                self._running[tenant_id] -= 1
                if not self._running[tenant_id]:
                    del self._running[tenant_id]
                self._start_some()
                self._changed.notify_all()
