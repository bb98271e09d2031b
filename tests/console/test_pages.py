"""Each page: who sees it, what it shows, and that looking changes nothing."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import get_resolver, reverse

from modelpool.tenants.models import AuditEvent

pytestmark = pytest.mark.django_db

TENANT_LISTS = ["tenant", "models", "jobs", "datasets"]


def at(name, tenant, *args):
    return reverse(f"console:{name}", args=[tenant.name, *args])


def pages_of(pool):
    return [
        *(at(name, pool.tenant) for name in TENANT_LISTS),
        at("model", pool.tenant, pool.model.name),
        at("version", pool.tenant, pool.model.name, 1),
        at("job", pool.tenant, pool.job.pk),
        at("job-live", pool.tenant, pool.job.pk),
        at("dataset", pool.tenant, pool.dataset.pk),
    ]


def test_a_stranger_is_sent_to_the_login(pool):
    for address in [*pages_of(pool), "/console/account/"]:
        response = Client().get(address)
        assert response.status_code == 302, address
        assert response["Location"].startswith("/console/login/"), address


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
        form = {"login": "ann", "password": "correct horse battery", "next": wanted}
        response = client.post("/console/login/", form)
        assert (response.status_code, response["Location"]) == (302, "/console/")
    assert client.get("/console/", follow=True).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("name", TENANT_LISTS)
def test_a_member_sees_their_tenants_rows_and_no_others(sign_in, pool, foreign_pool, name):
    text = sign_in("viewer", pool.tenant).get(at(name, pool.tenant)).text
    assert pool.tenant.name in text
    for foreign in (foreign_pool.tenant.name, foreign_pool.model.name, str(foreign_pool.job.pk)[:8]):
        assert foreign not in text


def test_a_member_opens_the_pages_of_their_tenant(sign_in, pool):
    client = sign_in("viewer", pool.tenant)
    for address in pages_of(pool):
        assert client.get(address).status_code == 200, address


def test_another_tenants_pages_are_not_there(sign_in, tenant, foreign_pool):
    client = sign_in("admin", tenant)
    for address in pages_of(foreign_pool):
        assert client.get(address).status_code == 404, address


def test_the_root_leads_to_the_console(client):
    assert client.get("/").headers["Location"] == "/console/"


def test_pages_may_run_files_of_this_server_only(client):
    policy = client.get("/console/login/").headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy


def test_nothing_is_kept_by_browsers_errors_neither(sign_in, pool):
    vic = sign_in("viewer", pool.tenant)
    answers = [
        vic.get(at("tenant", pool.tenant)),
        vic.get("/console/tenants/nobody/"),
        vic.get("/console/nowhere"),
        vic.get(at("members", pool.tenant)),
        vic.put(at("tenant", pool.tenant)),
        Client(enforce_csrf_checks=True).post(at("model-activate", pool.tenant, pool.model.name)),
        Client().get(at("tenant", pool.tenant)),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 404, 403, 405, 403, 302]
    assert all("no-store" in answer["Cache-Control"] for answer in answers)


def test_looking_changes_nothing(sign_in, pool):
    client = sign_in("operator")
    before = AuditEvent.objects.count(), LogEntry.objects.count()
    for address in pages_of(pool):
        client.get(address)
    assert (AuditEvent.objects.count(), LogEntry.objects.count()) == before


def test_every_action_needs_the_csrf_token(pool, actor):
    from modelpool.tenants.models import User

    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create(username="olga", is_staff=True, is_superuser=True))
    values = {"tenant": pool.tenant.name, "model": pool.model.name, "number": 2, "dataset": pool.dataset.pk,
              "job": pool.job.pk, "part": "canary"}  # fmt: skip
    refused = 0
    for address in _addresses(values):
        refused += client.post(address).status_code == 403
    assert refused >= 30
    pool.model.refresh_from_db()
    pool.job.refresh_from_db()
    assert pool.model.active_version_id == pool.versions[0].pk
    assert pool.job.state == "queued"


def test_what_people_typed_is_never_markup(sign_in, pool):
    pool.model.description = "<script>alert(1)</script>"
    pool.model.save()
    client = sign_in("viewer", pool.tenant)
    assert b"<script>alert(1)" not in client.get(at("model", pool.tenant, pool.model.name)).content
    assert b"<b>x</b>" not in client.get(at("version", pool.tenant, pool.model.name, 1)).content


def test_the_pages_stylesheet_is_served():
    response = Client().get("/static/console/console.css")
    assert b".mp-table" in b"".join(response.streaming_content)
    assert response["Content-Type"].startswith("text/css")


def _addresses(values):
    """Return the addresses of a tenant's pages for which ``values`` has every part."""
    console = next(one for one in get_resolver().url_patterns if getattr(one, "namespace", "") == "console")
    for pattern in console.url_patterns:
        parts = set(getattr(pattern.pattern, "converters", {})) | set(pattern.pattern.regex.groupindex)
        if "tenant" in parts and parts <= set(values):
            yield reverse(f"console:{pattern.name}", kwargs={name: values[name] for name in parts})
