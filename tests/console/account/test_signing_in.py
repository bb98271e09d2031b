"""Name and password: what is answered, how guessing ends, and what is written down."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client

from modelpool.console.account import guesses
from modelpool.tenants import services
from modelpool.tenants.models import AuditEvent, CacheEntry, User
from tests.console.account.conftest import PASSWORD

LOGIN, ACCOUNT, INSIDE = "/console/login/", "/console/account/", "/console/tenants/acme/"
WRONG = "The user name or the password is not right."
LOCKED = "Too many attempts."


def try_in(name: str, password: str = PASSWORD, client: Client | None = None, **extra: str):
    return (client or Client()).post(LOGIN, {"login": name, "password": password}, **extra)


def is_in(client: Client) -> bool:
    return client.get(ACCOUNT).status_code == 200


def events(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action))


def test_the_password_leads_in(ann):
    client = Client()
    assert try_in("ann", client=client)["Location"] == "/console/"
    assert client.get(INSIDE).status_code == 200
    (event,) = events("user.sign_in")
    assert (event.actor_label, event.outcome, event.details) == (
        "ann", "done", {"by": ["password"], "address": "127.0.0.1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong"), ("nobody", PASSWORD), ("ANN", PASSWORD), ("ann ", "x"), ("ann", PASSWORD.upper())],
)
def test_anything_wrong_is_answered_alike(ann, name, password):
    client = Client()
    answer = try_in(name, password, client=client)
    assert answer.status_code == 200
    assert WRONG in answer.text
    assert not is_in(client)


def test_an_unknown_name_costs_a_digest_like_a_known_one(ann, monkeypatch):
    made: list[str] = []
    from django.contrib.auth.hashers import Argon2PasswordHasher

    digest, check = Argon2PasswordHasher.encode, Argon2PasswordHasher.verify
    monkeypatch.setattr(Argon2PasswordHasher, "encode", lambda *a: made.append("x") or digest(*a))
    monkeypatch.setattr(Argon2PasswordHasher, "verify", lambda *a: made.append("x") or check(*a))
    try_in("nobody", "wrong")
    unknown = len(made)
    try_in("ann", "wrong")
    assert unknown >= 1
    assert len(made) - unknown == unknown


def test_who_was_locked_out_by_an_operator_is_answered_like_anybody(ann, actor):
    services.set_user_active(ann, is_active=False, actor=actor)
    assert WRONG in try_in("ann").text


@pytest.mark.parametrize(
    "wanted", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)", "\\\\x"]
)
def test_nobody_is_led_elsewhere(ann, wanted):
    answer = Client().post(f"{LOGIN}?next={wanted}", {"login": "ann", "password": PASSWORD, "next": wanted})
    assert answer["Location"] == "/console/"


def test_one_comes_to_the_page_one_wanted(ann):
    client = Client()
    asked = client.get(f"{INSIDE}jobs/")["Location"]
    assert client.post(asked, {"login": "ann", "password": PASSWORD, "next": f"{INSIDE}jobs/"})["Location"] == (
        f"{INSIDE}jobs/"
    )


def test_the_session_of_before_is_not_the_session_of_after(ann):
    client = Client()
    session = client.session
    session["planted"] = "x"
    session.save()
    client.cookies["sessionid"] = session.session_key
    try_in("ann", client=client)
    assert client.session.session_key != session.session_key


@pytest.mark.parametrize(
    "address", [LOGIN, "/console/logout/", "/console/account/password/", f"{ACCOUNT}sessions/end/"]
)
def test_no_form_is_taken_from_elsewhere(ann, enter, address):
    client = Client(enforce_csrf_checks=True)
    client.cookies = enter("ann").cookies
    assert client.post(address, {"login": "ann", "password": PASSWORD}).status_code == 403


def test_opening_the_page_signs_nobody_out(ann, enter):
    client = enter("ann")
    assert "Sign out" in client.get("/console/logout/").text
    assert is_in(client)
    assert client.post("/console/logout/")["Location"] == LOGIN
    assert not is_in(client)
    assert [event.actor_label for event in events("user.sign_out")] == ["ann"]


class TestGuessing:
    @pytest.mark.parametrize("name", ["ann", "nobody"])
    def test_after_five_wrong_passwords_none_is_looked_at(self, ann, name):
        said = [try_in(name, "wrong", REMOTE_ADDR=f"10.0.0.{n}").text for n in range(6)]
        assert [LOCKED in text for text in said] == [False] * 5 + [True]
        client = Client()
        assert LOCKED in try_in(name, PASSWORD, client=client, REMOTE_ADDR="10.0.0.9").text
        assert not is_in(client)

    def test_who_guesses_one_name_keeps_no_other_out(self, ann, actor):
        services.create_user("max", password=PASSWORD, actor=actor)
        for _ in range(6):
            try_in("max", "wrong", REMOTE_ADDR="10.0.0.1")
        assert try_in("ann", REMOTE_ADDR="10.0.0.2").status_code == 302

    def test_host_names_are_not_counted_apart(self, ann, settings):
        settings.ALLOWED_HOSTS = ["*"]
        said = [try_in("ann", "wrong", HTTP_HOST=f"h{n}.example", REMOTE_ADDR=f"10.0.0.{n}").text for n in range(6)]
        assert LOCKED in said[-1]

    def test_an_address_may_be_wrong_ten_times_a_minute(self, ann):
        said = [try_in(f"name-{number}", "wrong").text for number in range(11)]
        assert [LOCKED in text for text in said] == [False] * 10 + [True]

    def test_an_address_that_a_client_claims_is_not_believed(self, ann):
        said = [try_in(f"n{n}", "wrong", HTTP_X_FORWARDED_FOR=f"10.0.0.{n}").text for n in range(11)]
        assert LOCKED in said[-1]

    def test_it_ends_by_itself(self, ann, monkeypatch):
        for _ in range(6):
            try_in("ann", "wrong")
        import time

        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 301)
        assert try_in("ann").status_code == 302

    def test_an_operator_ends_it_from_the_shell(self, ann):
        for number in range(6):
            try_in("ann", "wrong", REMOTE_ADDR=f"10.0.0.{number}")
        guesses.forget(ann)
        assert try_in("ann", REMOTE_ADDR="10.0.0.9").status_code == 302

    def test_a_right_password_does_not_forgive_those_that_are_guessed_between(self, ann, actor):
        services.create_user("eve", password=PASSWORD, actor=actor)
        said = []
        for _ in range(6):
            said.append(try_in("ann", "wrong", REMOTE_ADDR="10.0.0.1").text)
            try_in("eve", REMOTE_ADDR="10.0.0.1")
        assert LOCKED in said[-1]

    def test_what_is_counted_is_in_the_database_that_all_processes_share(self, ann):
        try_in("ann", "wrong")
        assert CacheEntry.objects.filter(cache_key__contains="login_failed").count() == 2
        assert not CacheEntry.objects.filter(cache_key__contains="wrong").exists()

    def test_it_is_written_down_once_and_without_what_was_typed(self, ann):
        for _ in range(9):
            try_in("ann", "hunter2hunter2")
        try_in("my secret password", "x", REMOTE_ADDR="10.0.0.7")
        assert len(events("user.lock_out")) == 1
        refused = [event for event in events("user.sign_in") if event.outcome == "refused"]
        assert [event.target for event in refused] == ["ann"] * 5 + ["(unknown name)"]
        written = json.dumps([[event.target, event.actor_label, event.details] for event in AuditEvent.objects.all()])
        assert "hunter2" not in written
        assert "secret" not in written

    def test_too_many_requests_are_a_page(self, ann):
        last = [try_in("ann", "wrong") for _ in range(31)][-1]
        assert last.status_code == 429
        assert "Wait a minute" in last.text


@pytest.mark.parametrize("text", ["\x00", "a" * 200_000, "😀" * 99, "\u202eann", " ", "'; drop table"])
def test_whatever_is_typed_is_answered(ann, text):
    for form in ({"login": text, "password": "x"}, {"login": "ann", "password": text}, {"login": text}, {}):
        answer = Client().post(LOGIN, form)
        assert answer.status_code in (200, 429)
        assert not re.search("Traceback|Internal", answer.text)


class TestThePassword:
    ADDRESS = "/console/account/password/"

    def change(self, client: Client, old: str, new: str, again: str | None = None):
        form = {"oldpassword": old, "password1": new, "password2": again or new}
        return client.post(self.ADDRESS, form)

    def test_it_is_changed_and_every_other_session_ends(self, ann, enter):
        here, elsewhere = enter("ann"), enter("ann")
        answer = self.change(here, PASSWORD, "other words in a row")
        assert answer["Location"] == ACCOUNT
        assert is_in(here)
        assert not is_in(elsewhere)
        assert try_in("ann", "other words in a row").status_code == 302
        assert [event.actor_label for event in events("user.password")] == ["ann"]

    @pytest.mark.parametrize(
        ("old", "new", "again", "why"),
        [
            ("wrong", "other words in a row", None, "current password"),
            (PASSWORD, "other words in a row", "another words in a row", "same password"),
            (PASSWORD, "short", None, "at least 12"),
            (PASSWORD, "123456789012", None, "numeric"),
            (PASSWORD, "ann@acme.example", None, "similar"),
            (PASSWORD, "passwordpassword", None, ""),
        ],
    )
    def test_a_bad_one_is_refused_with_the_reason(self, ann, enter, old, new, again, why):
        client = enter("ann")
        answer = self.change(client, old, new, again)
        if why:
            assert answer.status_code == 200
            assert why in answer.text
            assert User.objects.get(pk=ann.pk).check_password(PASSWORD)

    def test_who_has_none_here_is_led_back(self, ann, enter):
        client = enter("ann")
        ann.set_unusable_password()
        ann.save()
        client.force_login(ann)
        assert client.get(self.ADDRESS)["Location"] == ACCOUNT

    def test_guessing_the_present_one_from_a_borrowed_screen_ends(self, ann, enter):
        client = enter("ann")
        answers = [self.change(client, f"guess {number}", "other words in a row").status_code for number in range(6)]
        assert answers[-1] == 429


@pytest.mark.parametrize("method", ["get", "post"])
def test_strangers_reach_nothing_of_an_account(ann, method):
    from modelpool.console.account.urls import urlpatterns

    for pattern in urlpatterns:
        address = f"/console/{pattern.pattern}".replace("<str:provider_id>", "corp")
        if pattern.name in ("account_login", "openid_connect_login", "openid_connect_callback"):
            continue
        answer = getattr(Client(), method)(address)
        assert answer.status_code in (302, 404), address
        if answer.status_code == 302:
            assert answer["Location"].startswith(LOGIN), address
