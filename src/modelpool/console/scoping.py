"""Who looks at a page, and what they may do anywhere."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest

from modelpool.tenants.actors import Actor
from modelpool.tenants.membership import actor_of, roles_anywhere
from modelpool.tenants.models import User
from modelpool.tenants.roles import Permission, role_allows


def signed_in(request: HttpRequest) -> User:
    """Return the person; the site lets nobody else in."""
    return cast(User, request.user)


def actor_for(request: HttpRequest) -> Actor:
    """Return whom the audit trail names for this request."""
    return actor_of(signed_in(request), request_id=getattr(request, "request_id", ""))


def may_somewhere(request: HttpRequest, permission: Permission) -> bool:
    """Say whether the person has the permission in any tenant; asked often, looked up once a request."""
    roles: frozenset[str] | None = getattr(request, "_roles_anywhere", None)
    if roles is None:
        roles = roles_anywhere(request.user)
        request._roles_anywhere = roles  # type: ignore[attr-defined]
    return any(role_allows(role, permission) for role in roles)


def operates(request: HttpRequest) -> bool:
    """Say whether the person runs the installation."""
    return isinstance(request.user, User) and request.user.is_operator
