"""What a signed-in person may do in which tenant."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Member, Tenant, User
from modelpool.tenants.roles import GRANTS, Permission, Role, role_allows


def role_in(user: User | AnonymousUser, tenant: Tenant) -> str | None:
    """Return the person's role: ``operator`` for operators, ``None`` for strangers and in suspended tenants."""
    if not isinstance(user, User) or not user.is_active:
        return None
    if user.is_operator:
        return Role.OPERATOR
    if not tenant.is_active:
        return None
    role: str | None = Member.objects.for_tenant(tenant).filter(user=user).values_list("role", flat=True).first()
    return role


def person_may(user: User | AnonymousUser, permission: Permission, *, tenant: Tenant) -> bool:
    """Say whether the person's role in the tenant grants ``permission``."""
    role = role_in(user, tenant)
    return role is not None and role_allows(role, permission)


def tenants_where(user: User | AnonymousUser, permission: Permission) -> QuerySet[Tenant]:
    """Return the tenants in which the person's role grants ``permission``: all of them for an operator."""
    if not isinstance(user, User) or not user.is_active:
        return Tenant.objects.none()
    if user.is_operator:
        return Tenant.objects.all()
    roles = [role for role, granted in GRANTS.items() if permission in granted]
    mine = Member.unscoped.filter(user=user, role__in=roles).values("tenant_id")
    return Tenant.objects.filter(is_active=True, pk__in=mine)


def roles_anywhere(user: User | AnonymousUser) -> frozenset[str]:
    """Return the roles that the person has in any tenant that is not suspended."""
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    if user.is_operator:
        return frozenset({Role.OPERATOR.value})
    return frozenset(Member.unscoped.filter(user=user, tenant__is_active=True).values_list("role", flat=True))


def actor_of(user: User, *, request_id: str = "") -> Actor:
    """Return whom the audit trail names for a person."""
    return Actor(kind="user", id=str(user.pk), label=user.get_username(), request_id=request_id)


def roles_of(user: User) -> list[tuple[str, str]]:
    """Return the names of the person's tenants that are not suspended, each with the role in it, by name."""
    mine = Member.unscoped.filter(user=user, tenant__is_active=True).select_related("tenant").order_by("tenant__name")
    return [(member.tenant.name, member.role) for member in mine]
