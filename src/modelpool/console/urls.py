"""Every address of the console, below ``/console/``."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, re_path, reverse

from modelpool.console import registration as registration  # noqa: PLC0414  the pages that unfold makes of tables
from modelpool.console.administration import audit as administration_audit
from modelpool.console.administration import keys, members, preferences
from modelpool.console.home import home, tenant_home, tenants
from modelpool.console.models import actions as model_actions
from modelpool.console.models import compare as model_compare
from modelpool.console.models import copying as model_copying
from modelpool.console.models import edit as model_edit
from modelpool.console.models import listing as model_list
from modelpool.console.models import page as model_page
from modelpool.console.models import traffic as model_traffic
from modelpool.console.operate import audit as operate_audit
from modelpool.console.operate import jobs as operate_jobs
from modelpool.console.operate import nodes, overview, people, settings
from modelpool.console.operate import tenants as operate_tenants
from modelpool.console.operate.welcome import welcome
from modelpool.console.pages import TenantPage, tenant_page
from modelpool.console.site import Routed, site
from modelpool.registry.models import ModelVersion

app_name = "console"


def _tenant_list(name: str) -> Routed:
    @tenant_page()
    def view(page: TenantPage) -> HttpResponse:
        query = "" if name.startswith("tenants_") else f"?tenant={page.tenant.name}"
        return HttpResponseRedirect(reverse(f"admin:{name}_changelist") + query)

    return view


@tenant_page()
def _version(page: TenantPage, model: str, number: int) -> HttpResponse:
    row = ModelVersion.objects.for_tenant(page.tenant).filter(model__name=model, number=number).first()
    if row is None:
        raise Http404
    return HttpResponseRedirect(reverse("admin:registry_modelversion_change", args=[row.pk]))


@tenant_page()
def _job(page: TenantPage, job: UUID) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:training_trainingjob_change", args=[job]))


_MODEL = "tenants/<str:tenant>/models/<str:model>"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("login/", site.login, name="login"),
    path("welcome/<str:uid>/<str:token>/", welcome, name="welcome"),
    path("tenants/", tenants, name="tenants"),
    path("tenants/<str:tenant>/", tenant_home, name="tenant"),
    # models
    path("tenants/<str:tenant>/new-model/", model_edit.new_model, name="model-new"),
    path("tenants/<str:tenant>/models/", model_list.models, name="models"),
    path(f"{_MODEL}/", model_page.model_page, name="model"),
    path(f"{_MODEL}/edit/", model_edit.edit_model, name="model-edit"),
    path(f"{_MODEL}/compare/", model_compare.compare, name="model-compare"),
    path(f"{_MODEL}/activate/", model_actions.activate, name="model-activate"),
    path(f"{_MODEL}/rollback/", model_actions.roll_back, name="model-rollback"),
    path(f"{_MODEL}/best/", model_actions.best, name="model-best"),
    path(f"{_MODEL}/upload/", model_actions.upload, name="model-upload"),
    path(f"{_MODEL}/copy/", model_copying.copy, name="model-copy"),
    path(f"{_MODEL}/delete/", model_actions.delete_model, name="model-delete"),
    path(f"{_MODEL}/delete-versions/", model_actions.deletion, name="model-delete-versions"),
    path(f"{_MODEL}/traffic/", model_traffic.traffic_live, name="model-traffic"),
    path(f"{_MODEL}/traffic/split/", model_traffic.set_split, name="model-traffic-split"),
    path(f"{_MODEL}/traffic/promote/", model_traffic.promote, name="model-traffic-promote"),
    path(f"{_MODEL}/traffic/end/", model_traffic.end_traffic, name="model-traffic-end"),
    re_path(
        r"^tenants/(?P<tenant>[^/]+)/models/(?P<model>[^/]+)/traffic/(?P<part>canary|shadow)/$",
        model_traffic.set_part,
        name="model-traffic-set",
    ),
    # versions
    path(f"{_MODEL}/versions/<int:number>/", _version, name="version"),
    path(f"{_MODEL}/versions/<int:number>/download/", _version, name="version-download"),
    # training
    path("tenants/<str:tenant>/train/", _tenant_list("training_dataset"), name="train"),
    path("tenants/<str:tenant>/jobs/", _tenant_list("training_trainingjob"), name="jobs"),
    path("tenants/<str:tenant>/jobs/<uuid:job>/", _job, name="job"),
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
    path("operate/", overview.overview, name="operate"),
    path("operate/figures/", overview.figures, name="operate-figures"),
    path("operate/tenants/", operate_tenants.tenants, name="operate-tenants"),
    path("operate/tenants/new/", operate_tenants.new_tenant, name="operate-tenant-new"),
    path("operate/tenants/<str:name>/", operate_tenants.tenant_page, name="operate-tenant"),
    path("operate/tenants/<str:name>/state/", operate_tenants.set_state, name="operate-tenant-state"),
    path("operate/tenants/<str:name>/delete/", operate_tenants.delete, name="operate-tenant-delete"),
    path("operate/people/", people.people, name="operate-people"),
    path("operate/people/new/", people.new_person, name="operate-person-new"),
    path("operate/people/<int:person>/", people.person_page, name="operate-person"),
    path("operate/people/<int:person>/invite/", people.invite, name="operate-person-invite"),
    path("operate/people/<int:person>/active/", people.set_active, name="operate-person-active"),
    path("operate/people/<int:person>/operator/", people.set_operator, name="operate-person-operator"),
    path("operate/people/<int:person>/role/", people.add_role, name="operate-person-role"),
    path("operate/jobs/", operate_jobs.jobs, name="operate-jobs"),
    path("operate/jobs/<uuid:job>/cancel/", operate_jobs.cancel, name="operate-job-cancel"),
    path("operate/nodes/", nodes.nodes, name="operate-nodes"),
    path("operate/settings/", settings.settings, name="operate-settings"),
    path("operate/keys/", keys.operators_keys, name="operate-keys"),
    path("operate/keys/new/", keys.new_operators_key, name="operate-key-new"),
    path("operate/keys/<uuid:key>/revoke/", keys.revoke_operators_key, name="operate-key-revoke"),
    path("operate/audit/", operate_audit.audit, name="operate-audit"),
    path("operate/audit/export.<str:format>", operate_audit.export_audit, name="operate-audit-export"),
]
admin_urls = site.urls
"""The pages that unfold makes of tables; they stand at ``/console/admin/``."""
