"""What the organisation's groups mean here: roles in tenants, kept as the groups are at each sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from modelpool.conf import ProviderSettings
from modelpool.core.errors import TenantNotFound
from modelpool.tenants import services
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Member, Tenant, User
from modelpool.tenants.roles import TENANT_ROLES

_OPERATOR = "operator"


def groups_in(claims: Mapping[str, Any], provider: ProviderSettings) -> list[str]:
    """Return the groups that the provider says the person is in; a claim of another shape is none."""
    found = claims.get(provider.groups_claim)
    if isinstance(found, str):
        found = [found]
    return [group for group in found if isinstance(group, str)] if isinstance(found, list) else []


def grants_of(claims: Mapping[str, Any], provider: ProviderSettings) -> frozenset[str]:
    """Return what these groups give: ``operator``, ``acme:scientist``."""
    groups = groups_in(claims, provider)
    return frozenset(grant for group in groups for grant in provider.groups.get(group, ()))


def apply(user: User, grants: frozenset[str], *, provider: ProviderSettings, actor: Actor) -> None:
    """Give the person what the groups give, and take what they no longer give.

    The mapping alone decides in the tenants that it names, and about operators if it names any; roles elsewhere are
    left alone. The last operator stays one: an installation that nobody runs cannot be put right by anybody.
    """
    named = {grant for grants_of_group in provider.groups.values() for grant in grants_of_group}
    with transaction.atomic():
        if _OPERATOR in named:
            _apply_operator(user, is_operator=_OPERATOR in grants, actor=actor)
        for tenant in sorted({grant.partition(":")[0] for grant in named - {_OPERATOR}}):
            roles = [role for role in TENANT_ROLES if f"{tenant}:{role}" in grants]
            _apply_role(user, tenant, roles[-1] if roles else None, actor=actor)


def _apply_operator(user: User, *, is_operator: bool, actor: Actor) -> None:
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    if user.is_superuser != is_operator and (is_operator or others.exists()):
        services.set_operator(user, is_operator=is_operator, actor=actor)
        user.is_superuser = is_operator


def _apply_role(user: User, name: str, role: str | None, *, actor: Actor) -> None:
    try:
        tenant: Tenant = services.get_tenant(name)
    except TenantNotFound:
        return
    if role is not None:
        services.set_member(tenant, user=user, role=role, actor=actor)
    elif Member.objects.for_tenant(tenant).filter(user=user).exists():
        services.remove_member(tenant, user=user, actor=actor)
