"""Every address of the console, below ``/console/``."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, reverse

from modelpool.console import registration as registration  # noqa: PLC0414  the pages that unfold makes of tables
from modelpool.console.home import home, tenant_home, tenants
from modelpool.console.loaded import loaded
from modelpool.console.pages import Page, TenantPage, operator_page, tenant_page
from modelpool.console.site import Routed, site

app_name = "console"


def _tenant_list(name: str) -> Routed:
    @tenant_page()
    def view(page: TenantPage) -> HttpResponse:
        query = "" if name.startswith("tenants_") else f"?tenant={page.tenant.name}"
        return HttpResponseRedirect(reverse(f"admin:{name}_changelist") + query)

    return view


def _operators_list(name: str) -> Routed:
    @operator_page
    def view(page: Page) -> HttpResponse:
        return HttpResponseRedirect(reverse(f"admin:{name}_changelist"))

    return view


urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("login/", site.login, name="login"),
    path("tenants/", tenants, name="tenants"),
    path("tenants/<str:tenant>/", tenant_home, name="tenant"),
    # models
    path("tenants/<str:tenant>/models/", _tenant_list("registry_registeredmodel"), name="models"),
    # training
    path("tenants/<str:tenant>/train/", _tenant_list("registry_registeredmodel"), name="train"),
    path("tenants/<str:tenant>/jobs/", _tenant_list("training_trainingjob"), name="jobs"),
    path("tenants/<str:tenant>/datasets/", _tenant_list("training_dataset"), name="datasets"),
    # a tenant's administrators
    path("tenants/<str:tenant>/members/", _tenant_list("tenants_member"), name="members"),
    path("tenants/<str:tenant>/keys/", _tenant_list("tenants_apikey"), name="keys"),
    path("tenants/<str:tenant>/audit/", _tenant_list("tenants_auditevent"), name="audit"),
    path("tenants/<str:tenant>/settings/", _tenant_list("tenants_tenant"), name="tenant-settings"),
    # operators
    path("operate/", loaded, name="operate"),
    path("operate/tenants/", _operators_list("tenants_tenant"), name="operate-tenants"),
    path("operate/people/", _operators_list("tenants_user"), name="operate-people"),
    path("operate/jobs/", _operators_list("training_trainingjob"), name="operate-jobs"),
    path("operate/nodes/", loaded, name="operate-nodes"),
    path("operate/settings/", _operators_list("tenants_tenant"), name="operate-settings"),
    path("operate/audit/", _operators_list("tenants_auditevent"), name="operate-audit"),
]
admin_urls = site.urls
"""The pages that unfold makes of tables; they stand at ``/console/admin/``."""
