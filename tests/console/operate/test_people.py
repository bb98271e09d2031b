"""People as operators see them: added with a link, given roles, locked out."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from modelpool.tenants import services
from modelpool.tenants.invitations import invite
from modelpool.tenants.models import AuditEvent, Member, User

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def page(name, *args):
    return reverse(f"console:operate-{name}", args=args)


def link_in(answer):
    return re.search(r"http://testserver(/console/welcome/[^<\"]+)", answer.text)[1]


def choose(address, password=PASSWORD, again=None):
    return Client().post(address, {"password": password, "again": password if again is None else again})


def test_a_person_is_added_and_chooses_a_password_by_the_link(sign_in, tenant):
    data = {"username": "bob", "email": "bob@example.com", "tenant": tenant.name, "role": "scientist"}
    answer = sign_in("operator").post(page("person-new"), data)
    assert "no-store" in answer["Cache-Control"]
    bob = User.objects.get(username="bob")
    assert (bob.is_superuser, bob.has_usable_password()) == (False, False)
    assert Member.objects.for_tenant(tenant).get(user=bob).role == "scientist"
    address = link_in(answer)
    assert "Welcome, bob" in Client().get(address).text
    assert choose(address)["Location"] == reverse("console:login")
    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)
    trail = AuditEvent.objects.filter(target="bob").order_by("id").values_list("action", "actor_label")
    assert list(trail) == [
        ("user.create", "ann"), ("member.set", "ann"), ("user.invite", "ann"), ("user.password", "bob")
    ]  # fmt: skip


def test_a_link_works_once(actor):
    bob = services.create_user("bob", password=None, actor=actor)
    address = reverse("console:welcome", args=invite(bob, actor=actor))
    assert choose(address).status_code == 302
    for answer in (Client().get(address), choose(address, "another horse battery")):
        assert answer.status_code == 410
        assert "opens nothing" in answer.text
    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)


def test_a_link_of_a_person_who_is_locked_out_opens_nothing(actor):
    bob = services.create_user("bob", password=None, actor=actor)
    address = reverse("console:welcome", args=invite(bob, actor=actor))
    services.set_user_active(bob, is_active=False, actor=actor)
    assert choose(address).status_code == 410


@pytest.mark.parametrize("uid", ["MQ", "!", "", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
def test_forged_links_open_nothing(actor, uid):
    User.objects.create(username="bob")
    address = f"/console/welcome/{uid or 'x'}/cn1abc-0123456789abcdef0123456789abcdef/"
    assert Client().get(address).status_code == 410
    assert choose(address).status_code == 410


@pytest.mark.parametrize(
    ("password", "again", "complaint"),
    [("short", "short", "too short"), (PASSWORD, "other", "not the same"), ("bob-bob-bob-bob", None, "too similar")],
)
def test_a_weak_password_is_explained(actor, password, again, complaint):
    bob = services.create_user("bob-bob-bob-bob", password=None, actor=actor)
    answer = choose(reverse("console:welcome", args=invite(bob, actor=actor)), password, again)
    assert answer.status_code == 422
    assert complaint in answer.text
    bob.refresh_from_db()
    assert not bob.has_usable_password()


def test_a_new_link_leaves_the_present_password_until_it_is_used(sign_in, actor):
    bob = services.create_user("bob", password=PASSWORD, actor=actor)
    address = link_in(sign_in("operator").post(page("person-invite", bob.pk)))
    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)
    assert choose(address, "another horse battery").status_code == 302
    bob.refresh_from_db()
    assert bob.check_password("another horse battery")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"username": "ann"}, "exists already"),
        ({"username": "bo b"}, "Enter a valid username"),
        ({"username": "bob", "tenant": "nowhere", "role": "viewer"}, "nowhere"),
        ({"username": "bob", "tenant": "acme", "role": ""}, "is not one of"),
        ({"username": "bob", "email": "x"}, "valid email"),
    ],
)
def test_a_person_who_cannot_be_is_not_half_made(sign_in, tenant, data, complaint):
    answer = sign_in("operator").post(page("person-new"), data)
    assert answer.status_code == 422
    assert complaint in answer.text
    assert not User.objects.filter(username="bob").exists()
    assert not AuditEvent.objects.filter(action="user.invite").exists()


def test_a_person_is_locked_out_and_let_in_again(sign_in, actor):
    client, bob = sign_in("operator"), services.create_user("bob", password=PASSWORD, actor=actor)
    for is_active in (False, True):
        client.post(page("person-active", bob.pk), {"is_active": "true" if is_active else "false"})
        bob.refresh_from_db()
        assert bob.is_active is is_active
        assert ("Locked out:" in client.get(page("person", bob.pk)).text) is not is_active


def test_an_operator_makes_operators_but_changes_nothing_of_themselves(sign_in, actor):
    client, bob = sign_in("operator", name="olga"), services.create_user("bob", password=PASSWORD, actor=actor)
    for is_operator in (True, False):
        client.post(page("person-operator", bob.pk), {"is_operator": "true" if is_operator else "false"})
        bob.refresh_from_db()
        assert bob.is_superuser is is_operator
    olga = User.objects.get(username="olga")
    for name, field in (("person-operator", "is_operator"), ("person-active", "is_active")):
        assert "another operator" in client.post(page(name, olga.pk), {field: "false"}, follow=True).text
    olga.refresh_from_db()
    assert olga.is_operator


def test_a_person_gets_a_role(sign_in, tenant, actor):
    client, bob = sign_in("operator"), services.create_user("bob", password=PASSWORD, actor=actor)
    refused = client.post(page("person-role", bob.pk), {"tenant": "nowhere", "role": "viewer"})
    assert (refused.status_code, "nowhere" in refused.text) == (422, True)
    client.post(page("person-role", bob.pk), {"tenant": tenant.name, "role": "viewer"})
    assert Member.objects.for_tenant(tenant).get(user=bob).role == "viewer"
    assert tenant.name in client.get(page("person", bob.pk)).text


def test_people_are_searched(sign_in, tenant, actor):
    services.set_member(
        tenant, user=services.create_user("bob", password=None, actor=actor), role="viewer", actor=actor
    )
    client = sign_in("operator")
    found = client.get(page("people"), {"q": "BO"}).text
    assert tenant.name in found
    assert "invited" in found
    assert "Nobody fits" in client.get(page("people"), {"q": "bob", "is_operator": "true"}).text
    assert client.get(page("person", 2**70)).status_code == 404


def test_the_list_asks_the_database_as_much_for_many_as_for_one(sign_in, tenant, actor, django_assert_max_num_queries):
    client = sign_in("operator")
    for some in (range(1), range(1, 31)):
        for number in some:
            person = User.objects.create(username=f"p{number}")
            services.set_member(tenant, user=person, role="viewer", actor=actor)
        with django_assert_max_num_queries(6):
            client.get(page("people"))
