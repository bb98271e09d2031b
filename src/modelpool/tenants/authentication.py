"""From a secret to who that is; the wires and the fast lane both ask here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from modelpool.tenants.actors import Actor
from modelpool.tenants.keys import digest_of, looks_like_secret
from modelpool.tenants.models import APIKey
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
    key = APIKey.unscoped.select_related("tenant").filter(digest=digest, revoked_at=None).first()
    if key is None or (key.tenant is not None and not key.tenant.is_active):
        return None
    principal = Principal(
        key_id=key.pk,
        digest=key.digest,
        label=key.name or key.prefix,
        role=key.role,
        tenant_id=key.tenant_id,
        tenant_name=key.tenant.name if key.tenant else None,
        expires_at=key.expires_at,
    )
    return None if principal.is_expired(timezone.now()) else principal


def note_use(digest: str) -> None:
    """Write down that the key was used now; callers see to it that this is not done at each request."""
    APIKey.unscoped.filter(digest=digest).update(last_used_at=timezone.now())
