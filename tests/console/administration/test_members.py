"""Who has which role: added, changed and removed by a tenant's administrators."""

from __future__ import annotations

import pytest
from django.urls import reverse

from modelpool.tenants import services
from modelpool.tenants.models import AuditEvent, Member, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob():
    return User.objects.create(username="bob", email="bob@example.com")


def add(client, tenant, **data):
    return client.post(reverse("console:members", args=[tenant.name]), data, follow=True)


def role_of(tenant, user):
    return Member.objects.for_tenant(tenant).filter(user=user).values_list("role", flat=True).first()


def test_a_person_is_added_given_another_role_and_removed(sign_in, tenant, bob):
    client = sign_in("admin", tenant)
    assert "bob is Scientist now" in add(client, tenant, username="bob", role="scientist").text
    member = Member.objects.for_tenant(tenant).get(user=bob)
    client.post(reverse("console:member-role", args=[tenant.name, member.pk]), {"role": "viewer"})
    assert role_of(tenant, bob) == "viewer"
    answer = client.post(reverse("console:member-remove", args=[tenant.name, member.pk]), follow=True)
    assert "bob is no longer a member" in answer.text
    assert role_of(tenant, bob) is None
    assert AuditEvent.objects.filter(target="bob", actor_label="ann").count() == 3


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"username": "nobody", "role": "viewer"}, "nobody"),
        ({"username": "bob", "role": "operator"}, "operator is not one of the available choices"),
        ({"username": "", "role": "viewer"}, "This field is required"),
    ],
)
def test_what_cannot_be_is_said_on_the_form(sign_in, tenant, bob, data, complaint):
    answer = add(sign_in("admin", tenant), tenant, **data)
    assert answer.status_code == 422
    assert complaint in answer.text
    assert role_of(tenant, bob) is None


def test_a_role_that_there_is_not_is_refused(sign_in, tenant, bob, actor):
    member = services.set_member(tenant, user=bob, role="viewer", actor=actor)
    address = reverse("console:member-role", args=[tenant.name, member.pk])
    answer = sign_in("admin", tenant).post(address, {"role": "operator"}, follow=True)
    assert "is not one of" in answer.text
    assert role_of(tenant, bob) == "viewer"


def test_people_are_found_by_name_e_mail_and_role(sign_in, tenant, bob, actor):
    services.set_member(tenant, user=bob, role="viewer", actor=actor)
    client, address = sign_in("admin", tenant), reverse("console:members", args=[tenant.name])
    assert "bob@example.com" in client.get(address, {"q": "BOB@"}).text
    assert "bob@example.com" in client.get(address, {"role": "viewer", "q": ""}).text
    assert "bob@example.com" not in client.get(address, {"role": "admin"}).text
    assert "Nobody fits" in client.get(address, {"q": "zoe"}).text
    assert client.get(address, {"role": "owner"}).status_code == 400


def test_who_removes_themselves_is_led_home(sign_in, tenant):
    client = sign_in("admin", tenant)
    member = Member.objects.for_tenant(tenant).get()
    answer = client.post(reverse("console:member-remove", args=[tenant.name, member.pk]))
    assert answer["Location"] == "/console/"


def test_another_tenants_member_is_not_there(sign_in, tenant, other_tenant, bob, actor):
    member = services.set_member(other_tenant, user=bob, role="viewer", actor=actor)
    client = sign_in("admin", tenant)
    for place in (tenant.name, other_tenant.name):
        for name in ("member-role", "member-remove"):
            address = reverse(f"console:{name}", args=[place, member.pk])
            assert client.post(address, {"role": "admin"}).status_code == 404
    assert role_of(other_tenant, bob) == "viewer"


def test_the_list_asks_the_database_as_much_for_many_as_for_one(sign_in, tenant, actor, django_assert_max_num_queries):
    client, address = sign_in("admin", tenant), reverse("console:members", args=[tenant.name])
    with django_assert_max_num_queries(10):
        client.get(address)
    for number in range(30):
        services.set_member(tenant, user=User.objects.create(username=f"p{number}"), role="viewer", actor=actor)
    with django_assert_max_num_queries(10):
        client.get(address)
