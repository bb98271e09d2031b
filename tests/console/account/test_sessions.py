"""Where one is signed in, and ending it."""

from __future__ import annotations

import re

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client

from modelpool.console.account import sessions
from modelpool.console.account.devices import name_of
from modelpool.tenants import services
from modelpool.tenants.models import AuditEvent
from tests.console.account.conftest import PASSWORD

ACCOUNT = "/console/account/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def is_in(client: Client) -> bool:
    return client.get(ACCOUNT).status_code == 200


def test_every_browser_is_listed(ann, enter):
    here, _there = enter("ann"), enter("ann", HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR="10.1.2.3")
    page = here.get(ACCOUNT).text
    assert "Firefox on Linux" in page
    assert "10.1.2.3" in page
    assert page.count("this one") == 1


def test_one_is_ended_from_elsewhere(ann, enter):
    here, there = enter("ann"), enter("ann")
    (address,) = re.findall(r"/console/account/sessions/\d+/end/", here.get(ACCOUNT).text)
    assert here.post(address)["Location"] == ACCOUNT
    assert is_in(here)
    assert not is_in(there)
    assert here.post(address).status_code == 404
    assert AuditEvent.objects.get(action="user.end_sessions").details == {"count": 1}


def test_this_one_is_not_ended_so(ann, enter):
    client = enter("ann")
    mine = UserSession.objects.get(user=ann)
    assert client.post(f"{ACCOUNT}sessions/{mine.pk}/end/").status_code == 404
    assert is_in(client)


def test_somebody_elses_is_not_there(ann, enter, actor):
    services.create_user("eve", password=PASSWORD, actor=actor)
    eve, victim = enter("eve"), enter("ann")
    theirs = UserSession.objects.get(user=ann)
    assert eve.post(f"{ACCOUNT}sessions/{theirs.pk}/end/").status_code == 404
    assert eve.post(f"{ACCOUNT}sessions/end/").status_code == 302
    assert is_in(victim)


def test_all_others_are_ended_or_all(ann, enter):
    here, one, two = (enter("ann") for _ in range(3))
    page = here.post(f"{ACCOUNT}sessions/end/", follow=True)
    assert "2 other sessions have ended" in page.text
    assert (is_in(here), is_in(one), is_in(two)) == (True, False, False)
    again = enter("ann")
    assert here.post(f"{ACCOUNT}sessions/end/", {"here": "too"})["Location"] == "/console/login/"
    assert (is_in(here), is_in(again)) == (False, False)


def test_an_operator_ends_all_of_a_persons(ann, enter, sign_in, tenant):
    browser = enter("ann")
    address = f"/console/operate/people/{ann.pk}/sessions/end/"
    assert sign_in("admin", tenant, name="ada").post(address).status_code == 403
    assert is_in(browser)
    assert sign_in("operator", name="olga").post(address).status_code == 302
    assert not is_in(browser)


def test_who_is_locked_out_is_out_at_once(ann, enter, actor):
    client = enter("ann")
    services.set_user_active(ann, is_active=False, actor=actor)
    assert not is_in(client)


def test_a_person_without_a_role_looks_after_their_account(actor, enter):
    services.create_user("new", password=PASSWORD, actor=actor)
    client = enter("new")
    assert is_in(client)
    refused = client.get("/console/")
    assert refused.status_code == 403
    assert f'href="{ACCOUNT}"' in refused.text


def test_last_seen_is_written_once_a_minute(ann, enter, monkeypatch, django_assert_num_queries):
    client = enter("ann")
    seen = UserSession.objects.get(user=ann).last_seen_at
    client.get(ACCOUNT)
    assert UserSession.objects.get(user=ann).last_seen_at == seen
    import time

    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    client.get(ACCOUNT, REMOTE_ADDR="10.9.9.9")
    after = UserSession.objects.get(user=ann)
    assert after.last_seen_at > seen
    assert after.ip == "10.9.9.9"
    client.get(ACCOUNT)
    assert UserSession.objects.get(user=ann).last_seen_at == after.last_seen_at


def test_sessions_that_are_over_are_not_listed(ann, enter):
    enter("ann").session.flush()
    assert sessions.sessions_of(ann) == []


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (FIREFOX, "Firefox on Linux"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15",
            "Safari on macOS",
        ),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1", "Safari on iPhone"),
        ("python-httpx/0.28", "python-httpx/0.28"),
        ("", "unknown"),
        ("x" * 500, "x" * 60),
    ],
)
def test_a_browser_is_called_what_people_call_it(sent, name):
    assert name_of(sent) == name
