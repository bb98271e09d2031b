"""Who sends a request: one shape for keys and for people, so that no view asks which it is."""

from __future__ import annotations

from dataclasses import dataclass

from modelpool.core.errors import TenantNotFound
from modelpool.tenants.actors import Actor
from modelpool.tenants.authentication import Principal, find_principal_by_digest
from modelpool.tenants.membership import actor_of, role_in
from modelpool.tenants.models import Tenant, User
from modelpool.tenants.roles import Permission, role_allows
from modelpool.tenants.services import get_tenant


@dataclass(frozen=True, slots=True)
class Caller:
    """A valid key (``principal``) or a signed-in person (``user``); exactly one of them is set."""

    principal: Principal | None = None
    user: User | None = None

    @property
    def is_operator(self) -> bool:
        """Whether the caller runs the installation."""
        if self.principal is not None:
            return self.principal.is_operator
        return self.user is not None and self.user.is_operator

    @property
    def credential(self) -> str:
        """A stable name of the credential, such as ``key:<id>``: what is remembered for it is remembered under this."""
        return (
            f"key:{self.principal.key_id}"
            if self.principal is not None
            else f"user:{self.user.pk if self.user else ''}"
        )

    def role_in(self, tenant: Tenant) -> str | None:
        """Return the caller's role in the tenant; ``None`` when the tenant does not exist for it."""
        if self.principal is None:
            return role_in(self.user, tenant) if self.user is not None else None
        return self.principal.role if self.principal.may_enter(tenant.name) else None

    def enter(self, tenant_name: str) -> Tenant:
        """Return the tenant, or raise the same :class:`TenantNotFound` for a missing one and for another's."""
        if self.principal is not None and not self.principal.may_enter(tenant_name):
            raise TenantNotFound(tenant_name)
        tenant = get_tenant(tenant_name)
        if self.role_in(tenant) is None:
            raise TenantNotFound(tenant_name)
        return tenant

    def may(self, permission: Permission, *, tenant: Tenant | None) -> bool:
        """Say whether the caller may; outside of any tenant only operators have more than ``ANY``."""
        if tenant is None:
            return self.is_operator or permission in (Permission.PUBLIC, Permission.ANY)
        role = self.role_in(tenant)
        return role is not None and role_allows(role, permission)

    def is_still_let_in(self, tenant: Tenant) -> bool:
        """Ask the database again, for answers that stream for minutes: a key may be revoked, a person locked out."""
        if self.principal is not None:
            return find_principal_by_digest(self.principal.digest) is not None
        user = User.objects.filter(pk=self.user.pk).first() if self.user else None
        return user is not None and role_in(user, get_tenant(tenant.name)) is not None

    def actor(self, request_id: str = "") -> Actor:
        """Return whom the audit trail names."""
        if self.principal is not None:
            return self.principal.actor(request_id)
        assert self.user is not None
        return actor_of(self.user, request_id=request_id)
