"""Tenants as operators see them: listed, made, changed, suspended, deleted."""

from __future__ import annotations

import pytest
from django.urls import reverse

from modelpool.core.errors import TenantNotFound
from modelpool.tenants import services
from modelpool.tenants.models import AuditEvent, Tenant

pytestmark = pytest.mark.django_db

LIST = "console:operate-tenants"


def page(name, *args):
    return reverse(f"console:operate-{name}", args=args)


def test_an_operator_makes_and_changes_a_tenant(sign_in):
    client = sign_in("operator")
    form = {"name": "newco", "display_name": "New Co", "store": "default", "max_storage_bytes": "2.5GiB"}
    assert client.post(page("tenant-new"), form)["Location"] == page("tenant", "newco")
    made = Tenant.objects.get(name="newco")
    assert (made.max_storage_bytes, made.max_models, made.is_active) == (2684354560, None, True)
    assert 'value="2560MiB"' in client.get(page("tenant", "newco")).text
    change = {"display_name": "New Company", "store": "rows", "max_models": "3"}
    assert client.post(page("tenant", "newco"), change).status_code == 302
    made.refresh_from_db()
    assert (made.display_name, made.store, made.max_storage_bytes, made.max_models) == ("New Company", "rows", None, 3)
    assert AuditEvent.objects.filter(target="newco", action__in=["tenant.create", "tenant.update"]).count() == 2


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"name": "New Co"}, "lower-case"),
        ({"name": "acme"}, "exists already"),
        ({"name": "ok", "store": "nowhere"}, "nowhere is not one of the available choices"),
        ({"name": "ok", "max_storage_bytes": "much"}, "Write a size such as 512MiB"),
        ({"name": "ok", "max_storage_bytes": "9" * 29}, "more than there can be"),
        ({"name": "ok", "max_models": "-1"}, "greater than or equal to 0"),
        ({"name": "ok", "burst": str(2**70)}, "less than or equal to"),
        ({"name": "ok", "predictions_per_second": "nan"}, "Enter a number"),
    ],
)
def test_what_cannot_be_is_said_on_the_form(sign_in, tenant, data, complaint):
    answer = sign_in("operator").post(page("tenant-new"), {"store": "default", **data})
    assert answer.status_code == 422
    assert complaint in answer.text
    assert not Tenant.objects.filter(name="ok").exists()


def test_what_only_the_service_can_know_is_said_on_the_form(sign_in, tenant, monkeypatch):
    def gone(*_, **__):
        raise TenantNotFound("acme")

    monkeypatch.setattr(services, "update_tenant", gone)
    answer = sign_in("operator").post(page("tenant", tenant.name), {"store": "default"})
    assert answer.status_code == 422
    assert "There is no tenant" in answer.text


def test_a_tenant_is_suspended_and_let_in_again(sign_in, tenant):
    client = sign_in("operator")
    for is_active in (False, True):
        client.post(page("tenant-state", tenant.name), {"is_active": "true" if is_active else "false"})
        tenant.refresh_from_db()
        assert tenant.is_active is is_active
        assert ("Suspended:" in client.get(page("tenant", tenant.name)).text) is not is_active


def test_an_empty_tenant_is_deleted_when_its_name_is_typed(sign_in, tenant):
    client, address = sign_in("operator"), page("tenant-delete", tenant.name)
    assert "Type the name" in client.post(address, {"confirmed": "acm"}, follow=True).text
    assert Tenant.objects.filter(name=tenant.name).exists()
    assert client.post(address, {"confirmed": tenant.name})["Location"] == reverse(LIST)
    assert not Tenant.objects.filter(name=tenant.name).exists()
    assert client.post(address, {"confirmed": tenant.name}).status_code == 404


def test_a_tenant_that_owns_something_is_kept(sign_in, pool):
    client = sign_in("operator")
    shown = client.get(page("tenant", pool.tenant.name)).text
    assert "still owns 1 models and 1 datasets." in shown
    assert 'id="delete"' not in shown
    client.post(page("tenant-delete", pool.tenant.name), {"confirmed": pool.tenant.name})
    assert Tenant.objects.filter(name=pool.tenant.name).exists()
    assert "is always there" in client.get(page("tenant", "default")).text


def test_tenants_are_searched_sorted_and_paged(sign_in, actor):
    for number in range(60):
        services.create_tenant(f"t-{number:02d}", actor=actor, display_name=f"Team <{number}>")
    client, address = sign_in("operator"), reverse(LIST)
    first = client.get(address, {"q": "t-", "ordering": "-name"})
    names = [use.tenant.name for use in first.context["uses"]]
    assert names == [f"t-{number:02d}" for number in range(59, 9, -1)]
    second = client.get(address + first.context["shown"].older)
    names += [use.tenant.name for use in second.context["uses"]]
    assert names == [f"t-{number:02d}" for number in range(59, -1, -1)]
    assert second.context["shown"].older is None
    back = client.get(address + second.context["shown"].newer)
    assert [use.tenant.name for use in back.context["uses"]] == names[:50]
    assert "Team &lt;7&gt;" in client.get(address, {"q": "Team <7>"}).text
    assert "No tenant fits" in client.get(address, {"q": "zzz"}).text


def test_the_list_tells_what_each_has(sign_in, pool, foreign_pool):
    uses = {use.tenant.name: use for use in sign_in("operator").get(reverse(LIST)).context["uses"]}
    acme = uses[pool.tenant.name]
    assert (acme.n_models, acme.n_members) == (1, 0)
    assert acme.used_bytes == len("acme 1") + len("acme 2") + len(b"x,y\n1,2\n")
    assert uses["default"].used_bytes == 0


@pytest.mark.parametrize("question", ["ordering=store", "is_active=maybe", "cursor=x", "page=2"])
def test_a_question_that_cannot_be_is_said(sign_in, question):
    answer = sign_in("operator").get(f"{reverse(LIST)}?{question}")
    assert answer.status_code == 400
    assert "mp-error" in answer.text


def test_the_list_asks_the_database_as_much_for_many_as_for_one(sign_in, actor, django_assert_max_num_queries):
    client, address = sign_in("operator"), reverse(LIST)
    for some in (range(1), range(1, 31)):
        for number in some:
            services.create_tenant(f"t-{number}", actor=actor)
        with django_assert_max_num_queries(9):
            client.get(address)
