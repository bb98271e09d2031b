"""Every address of the console, below ``/console/``."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path, re_path

from modelpool.console.account import page as account_page
from modelpool.console.account.views import SignIn
from modelpool.console.administration import audit as administration_audit
from modelpool.console.administration import keys, members, preferences
from modelpool.console.datasets import listing as dataset_list
from modelpool.console.datasets import page as dataset_page
from modelpool.console.first_run import add_sample
from modelpool.console.home import home, live, serving, tenant_home, tenants
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
from modelpool.console.site import site
from modelpool.console.training import job, jobs, train
from modelpool.console.versions import actions as version_actions
from modelpool.console.versions import page as version_page

app_name = "console"


_MODEL = "tenants/<str:tenant>/models/<str:model>"
_VERSION = f"{_MODEL}/versions/<int:number>"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("login/", SignIn.as_view(), name="login"),
    path("welcome/<str:uid>/<str:token>/", welcome, name="welcome"),
    path("tenants/", tenants, name="tenants"),
    path("tenants/<str:tenant>/", tenant_home, name="tenant"),
    path("tenants/<str:tenant>/live/", live, name="tenant-live"),
    path("tenants/<str:tenant>/serving/", serving, name="tenant-serving"),
    path("tenants/<str:tenant>/sample/", add_sample, name="tenant-sample"),
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
    path(f"{_VERSION}/", version_page.version_page, name="version"),
    path(f"{_VERSION}/try/", version_page.try_version, name="version-try"),
    path(f"{_VERSION}/activate/", version_actions.activate, name="version-activate"),
    path(f"{_VERSION}/release/", version_actions.release, name="version-release"),
    path(f"{_VERSION}/alias/", version_actions.set_alias, name="version-alias"),
    path(f"{_VERSION}/alias/delete/", version_actions.remove_alias, name="version-alias-delete"),
    path(f"{_VERSION}/describe/", version_actions.describe, name="version-describe"),
    path(f"{_VERSION}/delete/", version_actions.delete, name="version-delete"),
    path(f"{_VERSION}/download/", version_actions.download, name="version-download"),
    # training
    path("tenants/<str:tenant>/train/", train.train, name="train"),
    path("tenants/<str:tenant>/jobs/", jobs.jobs, name="jobs"),
    path("tenants/<str:tenant>/jobs/<uuid:job>/", job.job, name="job"),
    path("tenants/<str:tenant>/jobs/<uuid:job>/live/", job.live, name="job-live"),
    path("tenants/<str:tenant>/jobs/<uuid:job>/curves/", job.curves, name="job-curves"),
    path("tenants/<str:tenant>/jobs/<uuid:job>/cancel/", job.cancel, name="job-cancel"),
    path("tenants/<str:tenant>/datasets/", dataset_list.datasets, name="datasets"),
    path("tenants/<str:tenant>/datasets/upload/", dataset_list.upload, name="dataset-upload"),
    path("tenants/<str:tenant>/datasets/fetch/", dataset_list.fetch, name="dataset-fetch"),
    path("tenants/<str:tenant>/datasets/<uuid:dataset>/", dataset_page.dataset, name="dataset"),
    path("tenants/<str:tenant>/datasets/<uuid:dataset>/download/", dataset_page.download, name="dataset-download"),
    path("tenants/<str:tenant>/datasets/<uuid:dataset>/change/", dataset_page.change, name="dataset-change"),
    path("tenants/<str:tenant>/datasets/<uuid:dataset>/delete/", dataset_page.delete, name="dataset-delete"),
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
    # the person's own; the steps of signing in are in account/urls.py
    path("account/", account_page.account, name="account"),
    path("account/providers/<int:account>/disconnect/", account_page.disconnect, name="account-provider-disconnect"),
    path("account/sessions/<int:session>/end/", account_page.end_session, name="account-session-end"),
    path("account/sessions/end/", account_page.end_sessions, name="account-sessions-end"),
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
    path("operate/people/<int:person>/sessions/end/", people.end_sessions, name="operate-person-sessions-end"),
    path(
        "operate/people/<int:person>/second-factor/remove/",
        people.remove_second_factor,
        name="operate-person-second-factor-remove",
    ),
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
"""What unfold's frame asks for by name; it stands at ``/console/admin/``."""
