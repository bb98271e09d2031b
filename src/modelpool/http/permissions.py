"""Deny by default: a view declares a permission for each method, and nothing else lets a request in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from modelpool.core.errors import NotAuthenticated, PermissionDenied
from modelpool.http.caller import Caller
from modelpool.tenants import audit
from modelpool.tenants.models import Tenant
from modelpool.tenants.roles import GRANTS, TENANT_ROLES, Permission

if TYPE_CHECKING:
    from modelpool.http.views import ApiView

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class DenyAll(BasePermission):
    """The default of every REST framework view that is not an :class:`~modelpool.http.views.ApiView`."""

    def has_permission(self, request: Request, view: object) -> bool:
        """Refuse."""
        return False


def needed_permission(view: type[ApiView] | ApiView, method: str) -> Permission | None:
    """Return what the view declares for the method; ``None`` when it does not answer it.

    ``HEAD`` needs what ``GET`` needs; ``OPTIONS`` tells only which methods there are.
    """
    if method == "OPTIONS":
        public = set(view.permissions.values()) == {Permission.PUBLIC}
        return Permission.PUBLIC if public else Permission.ANY
    return view.permissions.get("GET" if method == "HEAD" else method)


def authorise(view: ApiView, request: Request) -> None:
    """Let the request in or raise, in this order: 401 who, 404 which tenant, 405 which method, 403 which role.

    Sets ``view.caller`` and, where the path names one, ``view.tenant``.
    """
    needed = needed_permission(view, request.method or "")
    if needed is Permission.PUBLIC:
        return
    if not isinstance(request.auth, Caller):
        raise NotAuthenticated
    view.caller = request.auth
    tenant = view.caller.enter(view.kwargs["tenant"]) if "tenant" in view.kwargs else None
    if tenant is not None:
        view.tenant = tenant
    if needed is None:
        raise MethodNotAllowed(request.method or "")
    if not view.caller.may(needed, tenant=tenant):
        _deny(view, request, needed=needed, tenant=tenant)


def _deny(view: ApiView, request: Request, *, needed: Permission, tenant: Tenant | None) -> None:
    if request.method not in _SAFE:
        target = f"{request.method} {request.path}"
        audit.record(
            "access", actor=view.actor, tenant=tenant, target=target, details={"needs": needed}, outcome="denied"
        )
    roles = [role.value for role in TENANT_ROLES if needed in GRANTS[role]] + ["operator"]
    where = f" in tenant {tenant.name!r}" if tenant is not None else ""
    raise PermissionDenied(f"This needs the permission '{needed}'{where}: a key of role {' or '.join(roles)}.")
