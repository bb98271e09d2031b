"""Signing in by a provider: a real one, and one that lies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest
from allauth.socialaccount.models import SocialAccount
from django.db import IntegrityError
from django.test import Client
from msgspec import structs

from modelpool import conf
from modelpool.server.providers import provider_apps
from modelpool.tenants import services
from modelpool.tenants.membership import role_in
from modelpool.tenants.models import AuditEvent, User
from tests.servers.oidc import Liar, Provider, serve_liar, serve_provider

GROUPS = {"ds": ("acme:scientist",), "heads": ("acme:admin", "umbrella:viewer"), "ops": ("operator",)}
BEGIN, BACK = "/console/login/by/corp/", "/console/login/by/corp/back/"
Use = Callable[..., None]


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with serve_provider() as running:
        yield running


@pytest.fixture
def liar() -> Iterator[Liar]:
    with serve_liar() as running:
        yield running


@pytest.fixture
def use(db: None, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Use:
    """``use(issuer)`` configures the provider ``corp``."""

    def configure(issuer: str, **more: Any) -> None:
        sign_in = {name: more.pop(name) for name in ("passwords", "require_two_factor") if name in more}
        corp = conf.ProviderSettings(
            issuer=issuer, client_id="modelpool", client_secret="s3cret", groups=GROUPS, label="Corp", **more
        )
        now = conf.settings()
        changed = structs.replace(now, sign_in=structs.replace(now.sign_in, providers={"corp": corp}, **sign_in))
        monkeypatch.setattr(conf, "settings", lambda: changed)
        apps = provider_apps(changed.sign_in.providers)
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": apps}}

    return configure


@pytest.fixture
def umbrella(actor):
    return services.create_tenant("umbrella", actor=actor)


def go(client: Client, *, ask: str = "") -> tuple[str, dict[str, str]]:
    """Press the button; return where the browser is led, and with which question."""
    page = client.post(f"{BEGIN}{ask}")
    assert page.status_code == 200, page.text
    url = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page.text)[1].replace("&amp;", "&")
    return url, {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def allowed(url: str, sub: str) -> str:
    """Sign in at the provider; return the address that it sends the browser to."""
    answer = where_it_leads(Request(url, urlencode({"sub": sub}).encode()))
    parts = urlsplit(answer)
    return f"{parts.path}?{parts.query}"


def where_it_leads(request: Request) -> str:
    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    try:
        build_opener(Stay).open(request, timeout=10)
    except HTTPError as answer:
        return str(answer.headers["Location"])
    raise AssertionError("the provider did not lead back")


def sign_in_by(provider: Provider, sub: str, **claims: Any) -> tuple[Client, Any]:
    provider.tell(sub, **claims)
    client = Client()
    url, _ = go(client)
    return client, client.get(allowed(url, sub))


def come_back(client: Client) -> Any:
    """Come back from a provider that asks nothing."""
    _, question = go(client)
    return client.get(BACK, {"code": "any", "state": question["state"]})


class TestARealProvider:
    def test_a_stranger_with_a_group_is_added_with_its_role(self, provider, use, tenant):
        use(provider.issuer)
        client, answer = sign_in_by(provider, "s1", preferred_username="zoe", email="zoe@corp.example", groups=["ds"])
        assert (answer.status_code, answer["Location"]) == (302, "/console/")
        zoe = User.objects.get(username="zoe")
        assert (role_in(zoe, tenant), zoe.email, zoe.has_usable_password()) == ("scientist", "zoe@corp.example", False)
        assert client.get("/console/tenants/acme/").status_code == 200
        event = AuditEvent.objects.get(action="user.sign_in", outcome="done")
        assert (event.target, event.details["by"]) == ("zoe", ["socialaccount"])

    def test_the_question_is_bound_to_the_browser(self, provider, use):
        use(provider.issuer)
        url, question = go(Client())
        assert url.startswith(f"{provider.issuer}/oauth2/authorize?")
        assert question["response_type"] == "code"
        assert question["code_challenge_method"] == "S256"
        assert question["redirect_uri"] == f"http://testserver{BACK}"
        assert len(question["state"]) >= 16

    def test_roles_follow_the_groups_at_each_sign_in(self, provider, use, tenant, umbrella, actor):
        use(provider.issuer)
        other = services.create_tenant("unmapped", actor=actor)
        sign_in_by(provider, "s2", preferred_username="max", groups=["ds", "heads", "unknown"])
        person = User.objects.get(username="max")
        services.set_member(other, user=person, role="viewer", actor=actor)
        assert [role_in(person, one) for one in (tenant, umbrella, other)] == ["admin", "viewer", "viewer"]
        sign_in_by(provider, "s2", preferred_username="max", groups=["ds"])
        assert [role_in(person, one) for one in (tenant, umbrella, other)] == ["scientist", None, "viewer"]
        sign_in_by(provider, "s2", preferred_username="max", groups=[])
        assert [role_in(person, one) for one in (tenant, umbrella, other)] == [None, None, "viewer"]
        assert User.objects.filter(username__startswith="max").count() == 1

    def test_operators_come_and_go_by_a_group_but_the_last_one_stays(self, provider, use, tenant):
        use(provider.issuer)
        sign_in_by(provider, "s3", preferred_username="ona", groups=["ops"])
        ona = User.objects.get(username="ona")
        assert ona.is_operator
        sign_in_by(provider, "s3", preferred_username="ona", groups=["ds"])
        assert User.objects.get(pk=ona.pk).is_operator
        User.objects.create(username="other", is_superuser=True)
        sign_in_by(provider, "s3", preferred_username="ona", groups=["ds"])
        assert not User.objects.get(pk=ona.pk).is_operator

    @pytest.mark.parametrize("groups", [None, [], ["sales"], "sales", 7, {"ds": True}, [["ds"]], [None]])
    def test_without_a_role_nobody_is_added(self, provider, use, tenant, groups):
        use(provider.issuer)
        client, answer = sign_in_by(provider, "s4", preferred_username="nob", groups=groups)
        assert answer.status_code == 403
        assert "no access yet" in answer.text
        assert not User.objects.filter(username="nob").exists()
        assert client.get("/console/").status_code == 302

    @pytest.mark.parametrize("claims", [{"preferred_username": "ann"}, {"email": "ann@corp.example"}])
    def test_nobody_becomes_somebody_by_a_name_or_an_address(self, provider, use, tenant, actor, claims):
        use(provider.issuer)
        ann = services.create_user("ann", password=None, actor=actor, is_operator=True, email="ann@corp.example")
        client, _ = sign_in_by(provider, "s5", groups=["ds"], **claims)
        came = User.objects.exclude(pk=ann.pk).get()
        assert int(client.session["_auth_user_id"]) == came.pk != ann.pk
        assert not came.is_operator

    def test_who_is_locked_out_stays_out(self, provider, use, tenant):
        use(provider.issuer)
        sign_in_by(provider, "s6", preferred_username="gone", groups=["ds"])
        User.objects.filter(username="gone").update(is_active=False)
        client, answer = sign_in_by(provider, "s6", preferred_username="gone", groups=["ops"])
        assert answer["Location"] == "/console/login/"
        assert "locked" in client.get("/console/login/").text
        assert "_auth_user_id" not in client.session
        assert not User.objects.get(username="gone").is_superuser

    def test_an_account_is_connected_from_within_and_let_go(self, provider, use, sign_in, tenant):
        use(provider.issuer)
        provider.tell("s7", preferred_username="ann-at-corp", groups=["heads"])
        client = sign_in("viewer", tenant)
        ann = User.objects.get(username="ann")
        ann.set_unusable_password()
        ann.save()
        client.force_login(ann)
        url, _ = go(client, ask="?process=connect&next=/console/account/")
        assert client.get(allowed(url, "s7"))["Location"] == "/console/account/"
        assert role_in(ann, tenant) == "viewer"
        again, answer = sign_in_by(provider, "s7", preferred_username="ann-at-corp", groups=["heads"])
        assert answer.status_code == 302
        assert int(again.session["_auth_user_id"]) == ann.pk
        assert role_in(ann, tenant) == "admin"
        page = again.get("/console/account/")
        (address,) = re.findall(r"/console/account/providers/\d+/disconnect/", page.text)
        assert "only way in" in again.post(address, follow=True).text
        ann.set_password("several words in a row")
        ann.save()
        again.force_login(ann)
        asked = again.post(address)
        assert asked["Location"].startswith("/console/account/confirm/")
        assert SocialAccount.objects.filter(user=ann).exists()
        again.post(asked["Location"], {"password": "several words in a row", "next": address})
        again.post(address)
        assert "not connected" in again.get("/console/account/").text
        assert AuditEvent.objects.filter(action="user.disconnect_provider").exists()

    def test_connecting_asks_for_the_password_again(self, provider, use, sign_in, tenant):
        use(provider.issuer)
        provider.tell("s13", preferred_username="thief", groups=["ds"])
        client = sign_in("viewer", tenant)
        ann = User.objects.get(username="ann")
        ann.set_password("several words in a row")
        ann.save()
        client.force_login(ann)
        url, _ = go(client, ask="?process=connect&next=/console/account/")
        asked = client.get(allowed(url, "s13"))
        assert asked["Location"].startswith("/console/account/confirm/")
        assert not SocialAccount.objects.exists()
        assert client.post(asked["Location"], {"password": "wrong"}).status_code == 200
        assert not SocialAccount.objects.exists()
        client.post(asked["Location"], {"password": "several words in a row"})
        assert SocialAccount.objects.get().user == ann

    def test_somebody_elses_connection_is_not_there(self, provider, use, sign_in, tenant):
        use(provider.issuer)
        sign_in_by(provider, "s8", preferred_username="eve", groups=["ds"])
        theirs = SocialAccount.objects.get(user__username="eve")
        answer = sign_in("viewer", tenant).post(f"/console/account/providers/{theirs.pk}/disconnect/")
        assert answer.status_code == 404
        assert SocialAccount.objects.filter(pk=theirs.pk).exists()

    def test_a_sign_in_there_counts_as_two_factors(self, provider, use, tenant):
        use(provider.issuer, require_two_factor="everyone")
        client, _ = sign_in_by(provider, "s9", preferred_username="zac", groups=["ds"])
        assert client.get("/console/tenants/acme/").status_code == 200

    def test_a_code_is_good_once_and_in_one_browser(self, provider, use, tenant):
        use(provider.issuer)
        provider.tell("s10", preferred_username="cy", groups=["ds"])
        client, thief = Client(), Client()
        url, _ = go(client)
        back = allowed(url, "s10")
        assert thief.get(back).status_code == 502
        assert client.get(back).status_code == 302
        assert client.get(back).status_code == 502
        assert "_auth_user_id" not in thief.session

    @pytest.mark.parametrize("wanted", ["https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)"])
    def test_one_ends_here_whatever_the_address_asks_for(self, provider, use, tenant, wanted):
        use(provider.issuer)
        provider.tell("s11", preferred_username="di", groups=["ds"])
        client = Client()
        url, _ = go(client, ask=f"?{urlencode({'next': wanted})}")
        assert client.get(allowed(url, "s11"))["Location"] == "/console/"

    def test_one_ends_where_one_wanted_to_go(self, provider, use, tenant):
        use(provider.issuer)
        provider.tell("s12", preferred_username="bo", groups=["ds"])
        client = Client()
        url, _ = go(client, ask="?next=/console/tenants/acme/jobs/")
        assert client.get(allowed(url, "s12"))["Location"] == "/console/tenants/acme/jobs/"


class TestALyingProvider:
    def test_the_truth_is_believed(self, liar, use, tenant):
        """What the others differ from in one thing."""
        use(liar.issuer)
        liar.claims = {"groups": ["ds"]}
        assert come_back(Client()).status_code == 302

    @pytest.mark.parametrize(
        ("lie", "why"),
        [
            ({"algorithm": "none"}, "signed by"),
            ({"algorithm": "HS256", "signed_by": "s3cret" * 8}, "signed by"),
            ({"signed_by": "other"}, "Signature verification failed"),
            ({"header": {"kid": "two"}}, "does not list"),
            ({"claims": {"aud": "somebody-else"}}, "Audience"),
            ({"claims": {"aud": ["modelpool", "other"], "azp": "other"}}, "for somebody else"),
            ({"claims": {"iss": "https://elsewhere.example"}}, "issuer"),
            ({"claims": {"exp": -3600}}, "expired"),
            ({"claims": {"iat": 3600}}, "not yet valid"),
            ({"claims": {"exp": None}}, "exp"),
            ({"claims": {"sub": None}}, "sub"),
            ({"userinfo": {"sub": "u2", "groups": ["ops"]}}, "somebody else"),
            ({"userinfo": []}, "cannot be used"),
            ({"overrides": {"issuer": "https://elsewhere.example"}}, "its issuer is"),
            ({"overrides": {"jwks_uri": None}}, ""),
            ({"overrides": {"token_endpoint": "http://127.0.0.1:9/"}}, ""),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_no_lie_is_believed(self, liar, use, tenant, lie, why):
        use(liar.issuer)
        liar.claims = {"groups": ["ds"]}
        for name, value in lie.items():
            told = {**liar.claims, **value} if name == "claims" else value
            setattr(liar, name, liar.other_key if value == "other" else told)
        client = Client()
        page = client.post(BEGIN)
        if page.status_code == 200:
            page = come_back(client)
        assert page.status_code == 502
        assert why in page.text.replace("&#x27;", "'")
        assert "Traceback" not in page.text
        assert "_auth_user_id" not in client.session
        assert not User.objects.exists()
        assert AuditEvent.objects.filter(action="user.sign_in", outcome="refused").count() == 1

    @pytest.mark.parametrize("path", ["/.well-known", "/token", "/jwks", "/userinfo"])
    @pytest.mark.parametrize("body", [b"<html>", b"[]", b'"x"', b"null", b"{}", b"\xff"])
    def test_nonsense_is_a_page_that_says_so(self, liar, use, path, body):
        use(liar.issuer)
        liar.claims, usual = {"groups": ["ds"]}, liar.answer
        liar.answer = lambda asked: body if asked.startswith(path) else usual(asked)
        client = Client()
        page = client.post(BEGIN)
        if page.status_code == 200:
            page = come_back(client)
        assert page.status_code == 502
        assert "did not work" in page.text
        assert not User.objects.exists()

    def test_a_provider_that_is_away_is_a_page_too(self, use):
        use("http://127.0.0.1:9")
        page = Client().post(BEGIN)
        assert page.status_code == 502
        assert "did not work" in page.text

    def test_a_clock_may_differ_by_some_seconds(self, liar, use, tenant):
        use(liar.issuer)
        liar.claims = {"groups": ["ds"], "iat": 30, "exp": -30}
        assert come_back(Client()).status_code == 302

    def test_a_token_without_a_key_id_is_by_the_only_key(self, liar, use, tenant):
        use(liar.issuer)
        liar.claims, liar.header = {"groups": ["ds"]}, {}
        assert come_back(Client()).status_code == 302

    def test_names_of_people_are_never_markup(self, liar, use):
        use(liar.issuer)
        liar.claims = {"preferred_username": "<script>alert(1)</script>", "groups": ["<b>x</b>"]}
        page = come_back(Client())
        assert page.status_code == 403
        assert "<script>alert" not in page.text
        assert "<b>x" not in page.text

    @pytest.mark.parametrize("name", ["", "a b\x00c", "x" * 500, "../..", ["list"], 7])
    def test_a_name_of_any_kind_is_a_person_or_a_page(self, liar, use, tenant, name):
        use(liar.issuer)
        liar.claims = {"preferred_username": name, "groups": ["ds"]}
        assert come_back(Client()).status_code in (302, 502)


def test_a_first_sign_in_that_breaks_off_leaves_nobody_behind(liar, use, tenant, monkeypatch):
    use(liar.issuer)
    liar.claims = {"groups": ["ds"], "preferred_username": "zoe"}

    def break_off(*_: Any, **__: Any) -> None:
        raise IntegrityError("the same person came in by another tab")

    with monkeypatch.context() as broken:
        broken.setattr(SocialAccount, "save", break_off)
        assert come_back(Client()).status_code == 502
    assert not User.objects.exists()
    assert come_back(Client()).status_code == 302
    assert [person.username for person in User.objects.all()] == ["zoe"]


def test_one_is_sent_back_to_the_public_address(liar, use, monkeypatch):
    use(liar.issuer)
    now = conf.settings()
    changed = structs.replace(now, server=structs.replace(now.server, public_url="https://models.example.com"))
    monkeypatch.setattr(conf, "settings", lambda: changed)
    _, question = go(Client())
    assert question["redirect_uri"] == f"https://models.example.com{BACK}"


def test_what_a_stranger_writes_into_the_address_is_not_repeated(liar, use):
    use(liar.issuer)
    page = Client().get(BACK, {"error": "x", "error_description": "Call 555-0100 and tell your password"})
    assert page.status_code == 502
    assert "555-0100" not in page.text


def test_failures_fill_no_audit_trail(liar, use):
    use(liar.issuer)
    for _ in range(5):
        Client().get(BACK, {"code": "x", "state": "y"})
    assert AuditEvent.objects.filter(action="user.sign_in").count() == 1


def test_giving_up_is_no_failure(liar, use):
    use(liar.issuer)
    client = Client()
    _, question = go(client)
    page = client.get(BACK, {"error": "access_denied", "state": question["state"]})
    assert page.status_code == 200
    assert "given up" in page.text
    assert not AuditEvent.objects.filter(action="user.sign_in").exists()


def test_a_link_begins_nothing(liar, use):
    use(liar.issuer)
    assert Client().get(BEGIN)["Location"] == "/console/login/"
    assert Client(enforce_csrf_checks=True).post(BEGIN).status_code == 403
    assert liar.asked == []


def test_a_provider_that_is_not_configured_is_not_there(liar, use):
    use(liar.issuer)
    for address in ("/console/login/by/nobody/", "/console/login/by/nobody/back/"):
        assert Client().post(address).status_code == 404


def test_passwords_can_be_for_operators_only(liar, use, actor):
    use(liar.issuer, passwords="operators")
    for name, is_operator in (("ann", False), ("olga", True)):
        services.create_user(name, password="several words in a row", actor=actor, is_operator=is_operator)
    form = {"password": "several words in a row"}
    refused = Client().post("/console/login/", {"login": "ann", **form})
    assert refused.status_code == 200
    assert "Passwords are for operators" in refused.text
    assert Client().post("/console/login/", {"login": "olga", **form}).status_code == 302


def test_the_login_page_has_a_button_for_each_provider(liar, use):
    use(liar.issuer)
    page = Client().get("/console/login/", {"next": "/console/tenants/acme/"})
    assert "Sign in with Corp" in page.text
    assert f"{BEGIN}?next=/console/tenants/acme/" in page.text
