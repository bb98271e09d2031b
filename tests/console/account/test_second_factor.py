"""Codes of an app, recovery codes, and who must have them."""

from __future__ import annotations

import json
import re

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from msgspec import structs

from modelpool import conf
from modelpool.console.account import sessions
from modelpool.tenants import services
from modelpool.tenants.models import AuditEvent, User
from tests.codes import code_of
from tests.console.account.conftest import PASSWORD

ACCOUNT, STEP, INSIDE = "/console/account/", "/console/login/second-factor/", "/console/tenants/acme/"
SET_UP, REMOVE = f"{ACCOUNT}second-factor/new/", f"{ACCOUNT}second-factor/remove/"
CODES, CONFIRM = f"{ACCOUNT}recovery-codes/", f"{ACCOUNT}confirm/"


def confirm(client: Client, password: str = PASSWORD):
    return client.post(CONFIRM, {"password": password})


def set_up(client: Client) -> tuple[str, list[str]]:
    """Turn it on; return the secret and the recovery codes."""
    confirm(client)
    secret = re.search(r'id="secret"[^>]*>([A-Z2-7]+)<', client.get(SET_UP).text)[1]
    answer = client.post(SET_UP, {"code": code_of(secret)}, follow=True)
    codes = re.search(r'id="codes"[^>]*>([\d\s]+)<', answer.text)[1].split()
    return secret, codes


def is_in(client: Client) -> bool:
    return client.get(INSIDE).status_code == 200


@pytest.fixture
def secret_and_codes(ann, enter):
    return set_up(enter("ann"))


def later(monkeypatch, seconds: int) -> None:
    import time

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)


@pytest.mark.parametrize("address", [SET_UP, f"{CODES}new/"])
def test_setting_it_up_asks_for_the_password_again(ann, enter, address):
    client = enter("ann")
    assert client.get(address)["Location"].startswith(CONFIRM)
    assert confirm(client, "wrong").status_code == 200
    assert client.get(address)["Location"].startswith(CONFIRM)
    confirm(client)
    assert client.get(address).status_code == 200


def test_a_wrong_code_turns_nothing_on(ann, enter):
    client = enter("ann")
    confirm(client)
    client.get(SET_UP)
    assert "Incorrect" in client.post(SET_UP, {"code": "000000"}).text
    assert not sessions.has_second_factor(ann)


def test_from_then_on_the_password_leads_to_the_second_step_only(secret_and_codes, enter, monkeypatch):
    secret, _ = secret_and_codes
    client = enter("ann")
    for address in (INSIDE, ACCOUNT, "/api/v1/tenants/acme/models", SET_UP, REMOVE, CODES):
        assert client.get(address).status_code in (302, 401), address
    assert "Incorrect" in client.post(STEP, {"code": "000000"}).text
    assert not is_in(client)
    later(monkeypatch, 120)
    client.post(STEP, {"code": code_of(secret)})
    assert is_in(client)
    event = AuditEvent.objects.filter(action="user.sign_in", outcome="done").latest("id")
    assert event.details["by"] == ["password", "mfa"]


def test_without_the_password_there_is_no_second_step(secret_and_codes):
    secret, _ = secret_and_codes
    client = Client()
    assert client.get(STEP)["Location"].startswith("/console/login/")
    client.post(STEP, {"code": code_of(secret)})
    assert not is_in(client)


@pytest.mark.parametrize("seconds", [0, 29, 31, 45])
def test_a_code_is_taken_once_for_as_long_as_it_would_be_right(secret_and_codes, enter, monkeypatch, seconds):
    import time

    secret, _ = secret_and_codes
    start = (int(time.time()) // 30 + 10) * 30
    monkeypatch.setattr(time, "time", lambda: float(start))
    code = code_of(secret)
    first, second = enter("ann"), enter("ann")
    first.post(STEP, {"code": code})
    assert is_in(first)
    monkeypatch.setattr(time, "time", lambda: float(start + seconds))
    assert "Incorrect" in second.post(STEP, {"code": code}).text
    assert not is_in(second)


@pytest.mark.parametrize(("steps", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clocks_may_differ_by_half_a_minute(secret_and_codes, enter, monkeypatch, steps, is_right):
    later(monkeypatch, 600)
    client = enter("ann")
    client.post(STEP, {"code": code_of(secret_and_codes[0], steps=steps)})
    assert is_in(client) is is_right


def test_a_recovery_code_signs_in_once(secret_and_codes, enter):
    _, codes = secret_and_codes
    assert len(set(codes)) == 10
    first, second = enter("ann"), enter("ann")
    first.post(STEP, {"code": codes[3]})
    assert is_in(first)
    assert "Incorrect" in second.post(STEP, {"code": codes[3]}).text
    assert "(9 left)" in first.get(ACCOUNT).text


def test_new_recovery_codes_end_the_old_ones(secret_and_codes, enter):
    _, codes = secret_and_codes
    client = enter("ann")
    client.post(STEP, {"code": codes[0]})
    confirm(client)
    page = client.post(f"{CODES}new/", follow=True).text
    fresh = re.search(r'id="codes"[^>]*>([\d\s]+)<', page)[1].split()
    assert not set(fresh) & set(codes)
    assert client.get(f"{CODES}file/").text.split()[-10:] == fresh
    other = enter("ann")
    assert "Incorrect" in other.post(STEP, {"code": codes[1]}).text
    other.post(STEP, {"code": fresh[0]})
    assert is_in(other)


def test_codes_cannot_be_guessed_without_end(secret_and_codes, enter, monkeypatch):
    client = enter("ann")
    said = [client.post(STEP, {"code": f"{number:06}"}, REMOTE_ADDR=f"10.0.0.{number}").text for number in range(7)]
    assert "Too many attempts" in said[-1]
    later(monkeypatch, 120)
    other = enter("ann")
    assert "Too many attempts" in other.post(STEP, {"code": code_of(secret_and_codes[0])}).text
    assert not is_in(other)


def test_the_secret_is_encrypted_and_of_another_key_no_code_fits(secret_and_codes, ann, enter, monkeypatch, settings):
    secret, codes = secret_and_codes
    stored = json.dumps(list(Authenticator.objects.filter(user=ann).values_list("data", flat=True)))
    assert secret not in stored
    settings.SECRET_KEY = "another key of this installation, which has been replaced by somebody"
    later(monkeypatch, 600)
    client = enter("ann")
    for code in (code_of(secret), codes[0], code_of(""), "000000"):
        assert "Incorrect" in client.post(STEP, {"code": code}).text
    assert not is_in(client)


def test_turning_it_off_asks_who_it_is(secret_and_codes, ann, enter):
    client = enter("ann")
    client.post(STEP, {"code": secret_and_codes[1][0]})
    assert client.get(REMOVE)["Location"].startswith(CONFIRM)
    client.post(REMOVE)
    assert sessions.has_second_factor(ann)
    confirm(client)
    assert client.post(REMOVE)["Location"] == ACCOUNT
    assert not Authenticator.objects.filter(user=ann).exists()
    assert is_in(enter("ann"))


def test_an_operator_takes_it_away_for_somebody_who_lost_the_phone(secret_and_codes, ann, enter, sign_in, actor):
    operator = sign_in("operator", name="olga")
    address = f"/console/operate/people/{ann.pk}/"
    assert "Remove the second factor" in operator.get(address).text
    operator.post(f"{address}second-factor/remove/")
    assert is_in(enter("ann"))
    event = AuditEvent.objects.filter(action="user.remove_second_factor").latest("id")
    assert (event.actor_label, event.target) == ("olga", "ann")


class TestWhoMustHaveOne:
    @pytest.fixture
    def want(self, monkeypatch):
        def of(whom: str) -> None:
            now = conf.settings()
            changed = structs.replace(now, sign_in=structs.replace(now.sign_in, require_two_factor=whom))
            monkeypatch.setattr(conf, "settings", lambda: changed)

        return of

    @pytest.mark.parametrize(("whom", "scientist", "operator"), [
        ("nobody", True, True), ("operators", True, False), ("everyone", False, False),
    ])  # fmt: skip
    def test_who_has_none_is_led_to_set_one_up(self, ann, actor, enter, want, whom, scientist, operator):
        services.create_user("olga", password=PASSWORD, actor=actor, is_operator=True)
        want(whom)
        for name, may in (("ann", scientist), ("olga", operator)):
            client = enter(name)
            answer = client.get(INSIDE)
            assert (answer.status_code == 200) is may
            assert may or answer["Location"] == SET_UP
            assert (client.get("/api/v1/tenants/acme/models").status_code == 200) is may
            assert client.get(ACCOUNT).status_code == 200

    def test_having_set_it_up_one_goes_on(self, ann, enter, want):
        want("everyone")
        client = enter("ann")
        confirm(client)
        assert "wants a second factor" in client.get(SET_UP).text
        set_up(client)
        assert is_in(client)
        assert client.get("/api/v1/tenants/acme/models").status_code == 200

    def test_keys_of_programs_are_not_asked(self, ann, want, make_key):
        want("everyone")
        key = make_key("viewer")
        answer = Client().get("/api/v1/tenants/acme/models", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200

    def test_a_session_that_was_there_before_is_asked_too(self, ann, enter, want):
        client = enter("ann")
        assert is_in(client)
        want("everyone")
        assert not is_in(client)


def test_another_persons_step_is_not_taken_over(secret_and_codes, actor, enter):
    """Somebody with a password of their own answers the step of somebody else with their own code."""
    services.create_user("eve", password=PASSWORD, actor=actor)
    _, codes_of_eve = set_up(enter("eve"))
    client = enter("ann")
    assert "Incorrect" in client.post(STEP, {"code": codes_of_eve[0]}).text
    assert User.objects.get(username="eve").last_login is not None
    assert not is_in(client)
