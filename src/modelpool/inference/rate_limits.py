"""How many predictions a tenant may ask of this node: one account for all its web processes, kept in a mapped file.

The algorithm is the generic cell rate algorithm (ITU-T I.371, "virtual scheduling"; ATM Forum TM 4.1): an account is
one number, the time at which all predictions admitted so far would be paid for at the tenant's rate. A prediction is
admitted when that is less than a burst ahead of now. Times are of ``CLOCK_MONOTONIC``, which all processes share.

An account is changed under a record lock of the kernel, which lets go when its holder dies. A holder that was only
stopped must not stop the others: after a few tries they go on without the lock, and may admit one prediction too many.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from math import ceil
from pathlib import Path
from typing import Protocol
from uuid import UUID

from modelpool import conf
from modelpool.core.errors import RateLimited
from modelpool.core.metrics.families import DIRECTORY_VARIABLE

_SLOTS = 1 << 16
_SLOT = struct.Struct("<16sqq")  # tenant, paid until (ns), unused
_HEADER_BYTES = _SLOT.size
_MAX_PROBES = 64
_TRIES = 100
_NS = 1_000_000_000
_FILE = "rate-limits"


class Limited(Protocol):
    """What says how much a tenant may: ``None`` is the installation's setting."""

    @property
    def pk(self) -> UUID:
        """Who it is."""

    @property
    def predictions_per_second(self) -> float | None:
        """Predictions in a second."""

    @property
    def burst(self) -> int | None:
        """Predictions at once."""


class Accounts:
    """Times until which tenants' predictions are paid for, shared by the processes that open the same ``path``.

    Without a path they are of this process alone, and so is that of a tenant for whom the file has no room.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._own: dict[UUID, Account] = {}
        self._descriptor = -1
        self._map: mmap.mmap | None = None
        if path is not None:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            size = _HEADER_BYTES + _SLOTS * _SLOT.size
            os.ftruncate(self._descriptor, size)  # has holes: only what is used takes room
            self._map = mmap.mmap(self._descriptor, size)

    def of(self, tenant: UUID) -> Account:
        """Return the account of a tenant; it is the same object for all who ask in this process."""
        with self._lock:
            account = self._own.get(tenant)
            if account is None:
                at = self._find(tenant)
                if at is None or self._map is None:
                    account = Account(bytearray(_SLOT.size), 0, descriptor=-1)
                else:
                    account = Account(self._map, at, descriptor=self._descriptor)
                self._own[tenant] = account
            return account

    def _find(self, tenant: UUID) -> int | None:
        """Return where the tenant's slot is, taking a free one where it has none; slots are never given back."""
        if self._map is None:
            return None
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, 0)
        try:
            for probe in range(_MAX_PROBES):
                at = _HEADER_BYTES + (tenant.int + probe) % _SLOTS * _SLOT.size
                owner = self._map[at : at + 16]
                if owner == tenant.bytes:
                    return at
                if not any(owner):
                    self._map[at : at + _SLOT.size] = _SLOT.pack(tenant.bytes, 0, 0)
                    return at
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, 0)
        return None


class Account:
    """The time until which one tenant's predictions are paid for."""

    __slots__ = ("_begin", "_descriptor", "_lock", "_memory", "_start")

    def __init__(self, memory: mmap.mmap | bytearray, start: int, *, descriptor: int) -> None:
        self._memory = memory
        self._start = start
        self._begin = start + 16
        self._descriptor = descriptor
        self._lock = threading.Lock()  # the kernel's locks do not keep the threads of a process apart

    def charge(self, price_ns: int, *, most_ns: int) -> int:
        """Add ``price_ns`` to what is to be paid, unless that were more than ``most_ns``; return what is to be paid.

        More than ``most_ns`` means that nothing was added. A debt from when the tenant's rate was another is cut.
        """
        begin = self._begin
        with self._lock:
            is_locked = self._descriptor >= 0 and self._try_lock()
            try:
                now = time.monotonic_ns()
                paid_until = int.from_bytes(self._memory[begin : begin + 8], "little", signed=True)
                debt_ns = min(max(paid_until - now, 0), most_ns) + price_ns
                if debt_ns <= most_ns:
                    self._memory[begin : begin + 8] = (now + debt_ns).to_bytes(8, "little", signed=True)
                return debt_ns
            finally:
                if is_locked:
                    fcntl.lockf(self._descriptor, fcntl.LOCK_UN, _SLOT.size, self._start)

    def _try_lock(self) -> bool:
        for _ in range(_TRIES):
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _SLOT.size, self._start)
            except OSError:
                time.sleep(0)  # let the holder run
            else:
                return True
        return False


class Limiter:
    """The limit of one tenant: ``per_second`` on average, ``burst`` at once."""

    __slots__ = ("_account", "_most_ns", "_price_ns", "burst", "per_second")

    def __init__(self, account: Account, *, per_second: float, burst: int | None = None) -> None:
        self.per_second = per_second
        self.burst = max(1, ceil(per_second)) if burst is None else burst
        self._account = account
        self._price_ns = max(1, round(_NS / per_second))
        self._most_ns = self._price_ns * self.burst

    def admit(self) -> None:
        """Count one prediction, or raise :class:`RateLimited` that says when there is room for one again."""
        debt_ns = self._account.charge(self._price_ns, most_ns=self._most_ns)
        if debt_ns > self._most_ns:
            raise RateLimited(
                per_second=self.per_second, burst=self.burst, retry_after_s=(debt_ns - self._most_ns) / _NS
            )


class RateLimits:
    """The limiters of this process's tenants."""

    def __init__(self, settings: conf.LimitsSettings, *, path: Path | None) -> None:
        self._settings = settings
        self._accounts = Accounts(path)

    def of(self, tenant: Limited) -> Limiter | None:
        """Return the tenant's limiter, by its quota or else the installation's; ``None`` where neither is set."""
        per_second = tenant.predictions_per_second or self._settings.tenant_predictions_per_second
        if per_second is None:
            return None
        burst = tenant.burst or (self._settings.tenant_burst if tenant.predictions_per_second is None else None)
        return Limiter(self._accounts.of(tenant.pk), per_second=per_second, burst=burst)


_lock = threading.Lock()
_current: RateLimits | None = None


def rate_limits() -> RateLimits:
    """Return those of this process; the processes of a server share what they count."""
    global _current  # noqa: PLW0603 - there is one per process
    with _lock:
        if _current is None:
            is_served = bool(os.environ.get(DIRECTORY_VARIABLE))
            path = conf.home().run_dir / _FILE if is_served else None
            _current = RateLimits(conf.settings().limits, path=path)
        return _current
