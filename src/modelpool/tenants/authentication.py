"""From a secret to who that is; the wires and the fast lane both ask here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from modelpool.tenants.actors import Actor
from modelpool.tenants.keys import digest_of, looks_like_secret
from modelpool.tenants.models import APIKey, Tenant
from modelpool.tenants.roles import Permission, Role, role_allows


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a valid key stands for; an operator's key has no tenant and may act in all."""

    key_id: UUID
    digest: str
    label: str
    role: str
    tenant_id: UUID | None
    tenant_name: str | None
    expires_at: datetime | None

    @property
    def is_operator(self) -> bool:
        """Whether the key is of the installation."""
        return self.role == Role.OPERATOR

    def allows(self, permission: Permission) -> bool:
        """Say whether the key's role grants ``permission`` (in its own tenant)."""
        return role_allows(self.role, permission)

    def may_enter(self, tenant_name: str) -> bool:
        """Say whether the key is for that tenant; where not, the tenant does not exist for it."""
        return self.is_operator or self.tenant_name == tenant_name

    def is_expired(self, now: datetime) -> bool:
        """Say whether the key's time is over."""
        return self.expires_at is not None and self.expires_at <= now

    def actor(self, request_id: str = "") -> Actor:
        """Return who the audit trail names."""
        return Actor(kind="key", id=str(self.key_id), label=self.label, request_id=request_id)


def find_principal(secret: str) -> Principal | None:
    """Return whom the secret stands for: ``None`` when it is unknown, revoked, expired, or its tenant is suspended."""
    if not looks_like_secret(secret):
        return None
    return find_principal_by_digest(digest_of(secret))


def find_principal_by_digest(digest: str) -> Principal | None:
    """As :func:`find_principal`, by the digest of the secret; one query."""
    return next((principal for principal, _ in _valid(_keys().filter(digest=digest))), None)


def find_holder(digest: str) -> tuple[Principal, Tenant | None] | None:
    """As :func:`find_principal_by_digest`, with the principal's tenant; an operator has none."""
    return next(_valid(_keys().filter(digest=digest)), None)


def recent_holders(*, limit: int) -> list[tuple[Principal, Tenant | None]]:
    """Return the valid keys that were used or made last, with their tenants: those that are likely to come next."""
    recent = _keys().order_by(Coalesce("last_used_at", "created_at").desc())
    return list(_valid(recent[:limit]))


def _keys() -> QuerySet[APIKey]:
    return APIKey.unscoped.select_related("tenant").filter(revoked_at=None)


def _valid(keys: Iterable[APIKey]) -> Iterator[tuple[Principal, Tenant | None]]:
    now = timezone.now()
    for key in keys:
        principal = _principal_of(key)
        if (key.tenant is None or key.tenant.is_active) and not principal.is_expired(now):
            yield principal, key.tenant


def _principal_of(key: APIKey) -> Principal:
    return Principal(
        key_id=key.pk,
        digest=key.digest,
        label=key.name or key.prefix,
        role=key.role,
        tenant_id=key.tenant_id,
        tenant_name=key.tenant.name if key.tenant else None,
        expires_at=key.expires_at,
    )


def note_use(digest: str) -> None:
    """Write down that the key was used now; callers see to it that this is not done at each request."""
    APIKey.unscoped.filter(digest=digest).update(last_used_at=timezone.now())
