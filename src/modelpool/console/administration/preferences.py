"""A tenant's settings as its administrators see them: what they decide, and what operators allow them."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _

from modelpool.console.administration.forms import TenantPreferences
from modelpool.console.methods import attempt, by_method
from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.console.quotas import limits_of
from modelpool.tenants import services
from modelpool.tenants.roles import Permission


@tenant_page(Permission.ADMINISTER)
def _show(page: TenantPage) -> HttpResponse:
    return _page(page, TenantPreferences.of(page.tenant))


@tenant_action(Permission.ADMINISTER)
def _change(page: TenantPage) -> HttpResponse:
    form = TenantPreferences(page.request.POST)
    changed = attempt(form, lambda _data: services.update_tenant(page.tenant, actor=page.actor, **form.changes()))
    if changed is None:
        return _page(page, form, status=422)
    messages.success(page.request, _("Saved."))
    return page.redirect("tenant-settings")


def _page(page: TenantPage, form: TenantPreferences, *, status: int = 200) -> HttpResponse:
    return page.render(
        "console/administration/settings.html",
        title=_("Settings"),
        status=status,
        form=form,
        limits=limits_of(page.tenant),
    )


tenant_settings = by_method(get=_show, post=_change)
