"""Copying a version to another tenant."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _

from modelpool.console.models.places import model_of, number_in
from modelpool.console.pages import TenantPage, tenant_action
from modelpool.core.errors import InvalidField
from modelpool.core.names import is_name
from modelpool.registry import services
from modelpool.tenants.membership import tenants_where
from modelpool.tenants.models import Tenant
from modelpool.tenants.roles import Permission

_MOST_OFFERED = 50


def tenants_to_copy_to(page: TenantPage) -> list[str]:
    """Return the names of other tenants in which the person may develop: the first of them, where they are many."""
    found = _others(page).order_by("name").values_list("name", flat=True)
    return list(found[:_MOST_OFFERED])


@tenant_action(Permission.DEVELOP)
def copy(page: TenantPage, model: str) -> HttpResponse:
    """Copy a version into a pool of another tenant in which the person may develop as well."""
    row, posted = model_of(page, model), page.request.POST
    number = number_in(posted.get("number", ""))
    if number is None:
        raise InvalidField("number", _("is the number of a version."))
    to = _tenant(page, posted.get("tenant", "").strip())
    version = services.get_version(row, number)
    made = services.copy_version(version, to=to, name=posted.get("name", "").strip() or row.name, actor=page.actor)
    words = {"number": number, "copy": made.number, "model": made.model.name, "tenant": to.name}
    said = _("Version %(number)d is copied: it is version %(copy)d of %(model)s of the tenant %(tenant)s.")
    messages.success(page.request, said % words)
    return page.redirect("model", row.name)


def _tenant(page: TenantPage, name: str) -> Tenant:
    found = _others(page).filter(name=name).first() if is_name(name) else None
    if found is None:
        raise InvalidField("tenant", _("is not another tenant in which you may develop."))
    return found


def _others(page: TenantPage) -> QuerySet[Tenant]:
    return tenants_where(page.person, Permission.DEVELOP).filter(is_active=True).exclude(pk=page.tenant.pk)
