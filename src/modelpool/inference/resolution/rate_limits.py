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
from collections.abc import Iterator
from math import ceil
from operator import itemgetter
from pathlib import Path
from typing import Protocol
from uuid import UUID
from weakref import WeakValueDictionary

from modelpool import conf
from modelpool.core.errors import RateLimited
from modelpool.core.metrics.families import DIRECTORY_VARIABLE

_SLOTS = 1 << 16
_SLOT = struct.Struct("<16sqq")  # tenant, paid until (ns), unused
_OWNER_BYTES = 16
_PAID_UNTIL = struct.Struct("<q")
_HEADER_BYTES = _SLOT.size
_MAX_PROBES = 64
_TRIES = 100
_MOVES = 3  # of a tenant whose place others take
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

    The file has places for a bounded number of tenants. Who owes nothing needs none: another may take it, and who
    comes back looks for one anew. An account for which there is no place is of this process alone while it owes
    something. Without a path all places are of this process alone.
    """

    def __init__(self, path: Path | None) -> None:
        self.lock = threading.Lock()
        """The kernel's locks do not keep the threads of a process apart; held for microseconds, and never waiting."""
        self.descriptor = -1
        size = _HEADER_BYTES + _SLOTS * _SLOT.size
        if path is not None:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self.descriptor, size)  # has holes: only what is used takes room
        self.memory = mmap.mmap(self.descriptor, size)
        self._used: WeakValueDictionary[UUID, Account] = WeakValueDictionary()
        self.in_this_process: dict[UUID, Account] = {}
        """Those that owe something for which there was no place."""

    def __len__(self) -> int:
        """Return how many accounts are in memory here."""
        return len(self._used)

    def of(self, tenant: UUID) -> Account:
        """Return the account of a tenant; it is the same object for all who use one at the same time here."""
        with self.lock:
            account = self._used.get(tenant)
            if account is None:
                account = self._used[tenant] = Account(self, tenant)
            return account

    def place(self, account: Account) -> int | None:
        """Return where there is room for the account, with :attr:`lock` held; ``None`` where there is none.

        That is where the tenant is already, where nobody ever was, or where somebody was who owes nothing.
        """
        now = time.monotonic_ns()
        for tenant in [tenant for tenant, other in self.in_this_process.items() if other.paid_until <= now]:
            del self.in_this_process[tenant]
        is_locked = self.try_lock(0, 1)
        try:
            for at, owner, _ in sorted(self._candidates(account.tenant, now), key=itemgetter(2)):
                if owner == account.tenant.bytes or self._take(at, account, owner):
                    self.in_this_process.pop(account.tenant, None)
                    return at
        finally:
            if is_locked:
                self.unlock(0, 1)
        self.in_this_process[account.tenant] = account
        return None

    def _candidates(self, tenant: UUID, now: int) -> Iterator[tuple[int, bytes, int]]:
        """Yield where the tenant may be: the place, who is there, and a number that is lower for better ones."""
        for probe in range(_MAX_PROBES):
            at = _HEADER_BYTES + (tenant.int + probe) % _SLOTS * _SLOT.size
            owner, paid_until, _ = _SLOT.unpack_from(self.memory, at)
            if owner == tenant.bytes:
                yield at, owner, -2
                return
            if not any(owner):
                yield at, owner, -1
                return
            if paid_until <= now:
                yield at, owner, paid_until

    def _take(self, at: int, account: Account, owner: bytes) -> bool:
        """Make the place the account's, unless somebody charges there just now, or has done so meanwhile."""
        is_locked = self.try_lock(at, _SLOT.size)
        if not is_locked and self.descriptor >= 0:
            return False
        try:
            found, paid_until, _ = _SLOT.unpack_from(self.memory, at)
            is_free = bool(found == owner and paid_until <= time.monotonic_ns())
            if is_free:
                _SLOT.pack_into(self.memory, at, account.tenant.bytes, account.paid_until, 0)
            return is_free
        finally:
            if is_locked:
                self.unlock(at, _SLOT.size)

    def try_lock(self, start: int, length: int) -> bool:
        """Lock bytes of the file against other processes, unless one of them keeps them for long."""
        if self.descriptor < 0:
            return False
        for _ in range(_TRIES):
            try:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
            except OSError:
                time.sleep(0)  # let the holder run
            else:
                return True
        return False

    def unlock(self, start: int, length: int) -> None:
        """Unlock what :meth:`try_lock` has locked."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, length, start)


class Account:
    """The time until which one tenant's predictions are paid for."""

    __slots__ = ("__weakref__", "_accounts", "_at", "_bytes", "paid_until", "tenant")

    def __init__(self, accounts: Accounts, tenant: UUID) -> None:
        self.tenant = tenant
        self.paid_until = 0
        """Until when it is paid for in this process alone; not used while there is a place."""
        self._accounts = accounts
        self._bytes = tenant.bytes
        self._at: int | None = None

    def charge(self, price_ns: int, *, most_ns: int) -> int:
        """Add ``price_ns`` to what is to be paid, unless that were more than ``most_ns``; return what is to be paid.

        More than ``most_ns`` means that nothing was added. A debt from when the tenant's rate was another is cut.
        """
        accounts = self._accounts
        with accounts.lock:
            for _ in range(_MOVES):
                at = self._at
                if at is None:
                    at = self._at = accounts.place(self)
                if at is None:
                    break
                is_locked = accounts.try_lock(at, _SLOT.size)
                try:
                    owner, paid_until, _ = _SLOT.unpack_from(accounts.memory, at)
                    if owner == self._bytes:
                        debt_ns, paid_until = _charged(paid_until, price_ns, most_ns)
                        _PAID_UNTIL.pack_into(accounts.memory, at + _OWNER_BYTES, paid_until)
                        return debt_ns
                finally:
                    if is_locked:
                        accounts.unlock(at, _SLOT.size)
                self._at = None  # somebody else is there, since we owed nothing
            debt_ns, self.paid_until = _charged(self.paid_until, price_ns, most_ns)
            return debt_ns


def _charged(paid_until: int, price_ns: int, most_ns: int) -> tuple[int, int]:
    """Return what is to be paid, and until when predictions are paid for then."""
    now = time.monotonic_ns()
    debt_ns = min(max(paid_until - now, 0), most_ns) + price_ns
    return debt_ns, now + debt_ns if debt_ns <= most_ns else paid_until


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
