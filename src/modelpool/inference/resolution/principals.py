"""Who a key stands for, without asking the database for each request."""

from __future__ import annotations

import time
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from django.utils import timezone

from modelpool.core.errors import NotAuthenticated
from modelpool.inference.resolution.cache import FeedCache
from modelpool.inference.resolution.lookup import with_database
from modelpool.inference.resolution.rate_limits import Limiter, rate_limits
from modelpool.tenants.authentication import Principal, find_holder, recent_holders
from modelpool.tenants.keys import digest_of, looks_like_secret
from modelpool.tenants.models import APIKey, Tenant
from modelpool.tenants.roles import Permission

_MAX_KEYS = 100_000
_REFUSAL_TTL_S = 2.0
_MAX_RECENT = 2_000  # about 2 MB


class KnownKey:
    """A valid key; ``tenant`` is ``None`` for an operator's, ``expires_at`` seconds since 1970 or ``None``.

    ``limiter`` is ``None`` where the tenant may ask as much as it likes.
    """

    __slots__ = ("expires_at", "limiter", "may_predict", "principal", "tenant", "was_used")

    def __init__(self, principal: Principal, *, limiter: Limiter | None = None) -> None:
        self.principal = principal
        self.limiter = limiter
        self.tenant = principal.tenant_name
        self.may_predict = principal.allows(Permission.PREDICT)
        self.expires_at = None if principal.expires_at is None else principal.expires_at.timestamp()
        self.was_used = False

    def note_use(self) -> None:
        """Remember that it was used; raise :class:`NotAuthenticated` where it has expired."""
        if self.expires_at is not None and self.expires_at <= time.time():
            raise NotAuthenticated
        self.was_used = True


def digest_for_cache(secret: bytes) -> bytes:
    """Return what a :class:`KeyCache` knows a secret by."""
    return blake2b(secret).digest()


class KeyCache:
    """Keys by a digest of their secret; secrets themselves are not kept.

    The digest is BLAKE2b: OpenSSL's SHA-256, by which the database knows keys, costs a prediction 5 µs more (measured
    between other work, where its code is not in the processor's cache).

    Keys that were in use lately are read at the start, by the digest of the database, so that a process that has just
    begun knows them even while there is no database.
    """

    def __init__(self) -> None:
        self._cache: FeedCache[bytes, KnownKey] = FeedCache(
            max_entries=_MAX_KEYS, refusal_ttl_s=_REFUSAL_TTL_S, remembers=(NotAuthenticated,)
        )
        self._recent: FeedCache[str, KnownKey] = FeedCache(max_entries=_MAX_RECENT, refusal_ttl_s=0, remembers=())
        self._get = self._cache.entries.get
        self._used: set[str] = set()  # and not kept any more, or not yet

    def find(self, digest: bytes) -> KnownKey | None:
        """Return the key of a secret with this :func:`digest_for_cache`, or ``None`` to ask the database.

        Raises :class:`NotAuthenticated` for one that has expired.
        """
        known = self._get(digest)
        if known is not None:
            known.note_use()
        return known

    def check(self, secret: bytes) -> None:
        """Raise :class:`NotAuthenticated` for a secret that cannot be valid, or was refused a moment ago."""
        if not looks_like_secret(secret.decode("latin-1")):
            raise NotAuthenticated
        self._cache.raise_refusal(digest_for_cache(secret))

    def load(self, secret: bytes) -> KnownKey:
        """Return a key that was in use lately, or ask the database; raise :class:`NotAuthenticated`."""
        digest = digest_of(secret.decode("latin-1"))
        known = self._cache.fill(digest_for_cache(secret), lambda _: self._recent.entries.get(digest) or _read(digest))
        known.note_use()
        self._used.add(digest)  # changes that were published meanwhile may keep it out of the cache
        return known

    def load_recent(self) -> None:
        """Read the keys that were in use lately; raises :class:`~modelpool.core.errors.DatabaseUnavailable`."""
        self._recent.fill_all(_read_recent)

    def forget(self, digests: set[str], *, tenants: set[UUID]) -> None:
        """Drop the keys of these digests (SHA-256, as in the database), and those of these tenants."""

        def matches(_: object, key: KnownKey) -> bool:
            return key.principal.digest in digests or key.principal.tenant_id in tenants

        self._keep_used()
        self._recent.invalidate(matches)  # first: what is read from it now is not kept below
        self._cache.invalidate(matches)

    def forget_all(self) -> None:
        """Drop everything."""
        self._keep_used()
        self._recent.invalidate()
        self._cache.invalidate()

    def _keep_used(self) -> None:
        """Remember who was used among those that are about to go."""
        used = self.take_used()
        self._used.update(used)

    def take_used(self) -> list[str]:
        """Return the digests of the keys used since the last call."""
        used, self._used = self._used, set()
        for key in list(self._cache.entries.values()):
            if key.was_used:
                key.was_used = False
                used.add(key.principal.digest)
        return list(used)


@with_database
def _read(digest: str) -> KnownKey:
    holder = find_holder(digest)
    if holder is None:
        raise NotAuthenticated
    return _known(*holder)


@with_database
def _read_recent() -> dict[str, KnownKey]:
    return {principal.digest: _known(principal, tenant) for principal, tenant in recent_holders(limit=_MAX_RECENT)}


def _known(principal: Principal, tenant: Tenant | None) -> KnownKey:
    return KnownKey(principal, limiter=None if tenant is None else rate_limits().of(tenant))


@with_database
def record_use(digests: list[str], *, at: datetime | None = None) -> None:
    """Write when keys were last used, to the minute or so."""
    moment = at or timezone.now()
    for start in range(0, len(digests), 500):
        APIKey.unscoped.filter(digest__in=digests[start : start + 500]).update(last_used_at=moment)
