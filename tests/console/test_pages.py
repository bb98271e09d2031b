"""Each page: who sees it, what it shows, and that looking changes nothing."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from modelpool.console.site import site
from modelpool.tenants.models import AuditEvent, Member

pytestmark = pytest.mark.django_db

TENANT_LISTS = [
    "registry_modelversion_changelist",
    "training_trainingjob_changelist",
    "training_dataset_changelist",
]


def page(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


def pages_of(pool):
    return [
        page("registry_modelversion_change", pool.versions[0].pk),
        page("training_trainingjob_change", pool.job.pk),
        page("training_trainingjob_live", pool.job.pk),
        page("training_dataset_change", pool.dataset.pk),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "question",
    ["name__regex=^(a%2B)%2B$", "name__startswith=c", "tenant__name=umbrella", "description__contains=x", "id__gt=0"],
)
def test_a_list_answers_its_own_filters_only(sign_in, pool, question):
    browser, models = sign_in("scientist", pool.model.tenant), page("registry_modelversion_changelist")
    assert browser.get(f"{models}?{question}").status_code == 400


def test_the_filters_of_a_list_filter(sign_in, pool):
    browser = sign_in("scientist", pool.model.tenant)
    versions, jobs = page("registry_modelversion_changelist"), page("training_trainingjob_changelist")
    for address in (
        f"{versions}?state__exact=ready&format__exact=onnx&tenant=acme",
        f"{jobs}?state__exact=failed&trainer=x",
    ):
        assert browser.get(address).status_code == 200


@pytest.mark.parametrize("name", ["index", *TENANT_LISTS])
def test_a_stranger_is_sent_to_the_login(name):
    response = Client().get(page(name))
    assert response.status_code == 302
    assert response["Location"].startswith("/console/login/")


def test_the_login_page_opens():
    assert Client().get("/console/login/").status_code == 200


def test_a_person_without_a_role_is_not_let_in(sign_in):
    assert sign_in("viewer").get("/console/").status_code == 403


def test_a_person_signs_in_with_a_password(tenant, actor):
    from modelpool.tenants import services

    ann = services.create_user("ann", password="correct horse battery", actor=actor)
    services.set_member(tenant, user=ann, role="viewer", actor=actor)
    client = Client()
    for wanted in ("/console/", "https://elsewhere.example/", ""):
        form = {"username": "ann", "password": "correct horse battery", "next": wanted}
        response = client.post("/console/login/", form)
        assert (response.status_code, response["Location"]) == (302, "/console/")
    assert client.get("/console/", follow=True).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("name", TENANT_LISTS)
def test_a_member_sees_their_tenants_rows_and_no_others(sign_in, pool, foreign_pool, name):
    text = sign_in("viewer", pool.tenant).get(page(name)).content.decode()
    assert pool.tenant.name in text
    for foreign in (foreign_pool.tenant.name, foreign_pool.model.name, str(foreign_pool.job.pk)[:8]):
        assert foreign not in text


def test_a_member_opens_the_pages_of_their_tenant(sign_in, pool):
    client = sign_in("viewer", pool.tenant)
    for address in pages_of(pool):
        response = client.get(address)
        assert response.status_code == 200, address
        assert pool.tenant.name in response.content.decode()


def test_another_tenants_pages_are_not_there(sign_in, tenant, foreign_pool):
    client = sign_in("admin", tenant)
    for address in pages_of(foreign_pool):
        assert client.get(address).status_code == 404, address


def test_every_page_of_the_admin_opens_for_an_operator(sign_in, pool, actor):
    client = sign_in("operator")
    Member.objects.create(tenant=pool.tenant, user_id=client.session["_auth_user_id"], role="viewer")
    for model, admin in site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        assert client.get(page(f"{name}_changelist")).status_code == 200
        row = admin.get_queryset(_request_of(client)).first()
        if row is not None:
            assert client.get(page(f"{name}_change", row.pk)).status_code == 200, name


def test_the_root_leads_to_the_console(client):
    assert client.get("/").headers["Location"] == "/console/"


def test_pages_may_run_files_of_this_server_only(client):
    policy = client.get("/console/login/").headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy


def test_looking_changes_nothing(sign_in, pool):
    client = sign_in("operator")
    before = AuditEvent.objects.count(), LogEntry.objects.count()
    for address in [*pages_of(pool), *(page(name) for name in ("index", *TENANT_LISTS))]:
        client.get(address)
    assert (AuditEvent.objects.count(), LogEntry.objects.count()) == before


def test_every_action_refuses_get(sign_in, pool):
    """A link on another site must not be able to change anything."""
    client = sign_in("operator")
    rows = {"registry_modelversion": pool.versions[0],
            "training_trainingjob": pool.job, "training_dataset": pool.dataset}  # fmt: skip
    refused = 0
    for model, admin in site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        for action in set(admin.page_actions()) - {"live"}:
            address = page(f"{name}_{action}", rows[name].pk if name in rows else pool.model.pk)
            assert client.get(address).status_code == 405, address
            refused += 1
    assert refused


def test_every_action_needs_the_csrf_token(pool, actor):
    from modelpool.tenants.models import User

    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create(username="olga", is_staff=True, is_superuser=True))
    address = page("registry_modelversion_activate", pool.versions[1].pk)
    assert client.post(address).status_code == 403
    pool.model.refresh_from_db()
    assert pool.model.active_version_id == pool.versions[0].pk


def test_what_people_typed_is_never_markup(sign_in, pool):
    client = sign_in("viewer", pool.tenant)
    assert b"<b>x</b>" not in client.get(page("registry_modelversion_change", pool.versions[0].pk)).content


def test_the_pages_stylesheet_is_served():
    response = Client().get("/static/console/console.css")
    assert b".mp-table" in b"".join(response.streaming_content)
    assert response["Content-Type"].startswith("text/css")


def _request_of(client):
    from django.contrib.auth import get_user_model
    from django.test import RequestFactory

    request = RequestFactory().get("/")
    request.user = get_user_model().objects.get(pk=client.session["_auth_user_id"])
    return request
