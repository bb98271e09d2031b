"""The sidebar: the pages of the tenant one is in, and those of the installation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from modelpool.console.scoping import operates, signed_in
from modelpool.tenants.membership import role_in, tenants_where
from modelpool.tenants.models import Tenant
from modelpool.tenants.roles import Permission, role_allows

_LAST_TENANT = "console-tenant"


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the sidebar."""

    title: Any
    icon: str
    link: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Lines under a heading."""

    title: Any
    items: list[Item]
    tenant: Tenant | None = None


_TENANT_PAGES = (
    (_("Home"), "home", "tenant", Permission.VIEW),
    (_("Models"), "deployed_code", "models", Permission.VIEW),
    (_("Train"), "model_training", "train", Permission.DEVELOP),
    (_("Jobs"), "checklist", "jobs", Permission.VIEW),
    (_("Datasets"), "table", "datasets", Permission.VIEW),
    (_("Members"), "group", "members", Permission.ADMINISTER),
    (_("Keys"), "key", "keys", Permission.ADMINISTER),
    (_("Audit"), "history", "audit", Permission.ADMINISTER),
    (_("Settings"), "tune", "tenant-settings", Permission.ADMINISTER),
)
_OPERATORS_PAGES = (
    (_("Overview"), "monitoring", "operate"),
    (_("Tenants"), "apartment", "operate-tenants"),
    (_("People"), "person", "operate-people"),
    (_("All jobs"), "checklist", "operate-jobs"),
    (_("Nodes"), "memory", "operate-nodes"),
    (_("Keys"), "key", "operate-keys"),
    (_("Settings"), "settings", "operate-settings"),
    (_("Audit"), "history", "operate-audit"),
)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Return ``navigation``: the groups of the sidebar, for whoever has signed in."""
    if not request.user.is_authenticated:
        return {"navigation": []}
    place: tuple[Tenant, str] | None = getattr(request, "console_place", None) or _last_place(request)
    groups = [] if place is None else [_tenant_group(request, *place)]
    if operates(request):
        items = [_item(request, title, icon, reverse(f"console:{name}")) for title, icon, name in _OPERATORS_PAGES]
        groups.append(Group(_("Installation"), items))
    return {"navigation": groups}


def _tenant_group(request: HttpRequest, tenant: Tenant, role: str) -> Group:
    if request.session.get(_LAST_TENANT) != tenant.name:
        request.session[_LAST_TENANT] = tenant.name
    items = [
        _item(request, title, icon, reverse(f"console:{name}", args=[tenant.name]))
        for title, icon, name, permission in _TENANT_PAGES
        if role_allows(role, permission)
    ]
    return Group(str(tenant), items, tenant)


def _last_place(request: HttpRequest) -> tuple[Tenant, str] | None:
    """The tenant last looked at, or a person's only one, and the role in it: for pages that name no tenant."""
    visible = tenants_where(signed_in(request), Permission.VIEW)
    tenant = visible.filter(name=request.session.get(_LAST_TENANT, "")).first()
    if tenant is None:
        first_two = visible.order_by("name")[:2]
        tenant = first_two[0] if len(first_two) == 1 else None
    role = role_in(signed_in(request), tenant) if tenant else None
    return (tenant, role) if tenant and role else None


def _item(request: HttpRequest, title: Any, icon: str, link: str) -> Item:
    """A line is active on its own page and on those below it, the home pages on their own alone."""
    is_home = title in (_("Home"), _("Overview"))
    is_here = request.path == link if is_home else request.path.startswith(link)
    return Item(title, icon, link, is_here)
