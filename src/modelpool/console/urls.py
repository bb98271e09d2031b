"""Every address of the console, below ``/console/``."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, reverse

from modelpool.console import registration as registration  # noqa: PLC0414  the pages that unfold makes of tables
from modelpool.console.administration import audit as administration_audit
from modelpool.console.administration import keys, members, preferences
from modelpool.console.home import home, tenant_home, tenants
from modelpool.console.loaded import loaded
from modelpool.console.operate import audit as operate_audit
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
    path("tenants/<str:tenant>/members/", members.members, name="members"),
    path("tenants/<str:tenant>/members/<uuid:member>/role/", members.change_role, name="member-role"),
    path("tenants/<str:tenant>/members/<uuid:member>/remove/", members.remove, name="member-remove"),
    path("tenants/<str:tenant>/keys/", keys.keys, name="keys"),
    path("tenants/<str:tenant>/keys/new/", keys.new_key, name="key-new"),
    path("tenants/<str:tenant>/keys/<uuid:key>/revoke/", keys.revoke_key, name="key-revoke"),
    path("tenants/<str:tenant>/audit/", administration_audit.audit, name="audit"),
    path("tenants/<str:tenant>/audit/export.<str:format>", administration_audit.export_audit, name="audit-export"),
    path("tenants/<str:tenant>/settings/", preferences.tenant_settings, name="tenant-settings"),
    # operators
    path("operate/", loaded, name="operate"),
    path("operate/tenants/", _operators_list("tenants_tenant"), name="operate-tenants"),
    path("operate/people/", _operators_list("tenants_user"), name="operate-people"),
    path("operate/jobs/", _operators_list("training_trainingjob"), name="operate-jobs"),
    path("operate/nodes/", loaded, name="operate-nodes"),
    path("operate/settings/", _operators_list("tenants_tenant"), name="operate-settings"),
    path("operate/keys/", keys.operators_keys, name="operate-keys"),
    path("operate/keys/new/", keys.new_operators_key, name="operate-key-new"),
    path("operate/keys/<uuid:key>/revoke/", keys.revoke_operators_key, name="operate-key-revoke"),
    path("operate/audit/", operate_audit.audit, name="operate-audit"),
    path("operate/audit/export.<str:format>", operate_audit.export_audit, name="operate-audit-export"),
]
admin_urls = site.urls
"""The pages that unfold makes of tables; they stand at ``/console/admin/``."""
