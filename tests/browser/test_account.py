"""People's own way in, with a mouse: the second factor, sessions, being kept out, and the organisation's sign-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility import check_accessible
from tests.browser.conftest import PASSWORD, Visits, run_command
from tests.browser.test_administration import LOOKS
from tests.codes import code_of
from tests.sandbox import fresh_path
from tests.servers.modelpool import ServedModelpool, serve_modelpool
from tests.servers.oidc import Provider, serve_provider

pytestmark = [pytest.mark.slow, pytest.mark.browser]

_PEOPLE = [
    {"sub": "zoe", "preferred_username": "zoe", "groups": ["data-science"]},
    {"sub": "sam", "preferred_username": "sam", "groups": ["sales"]},
]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serve_provider(*_PEOPLE) as running:
        yield running


@pytest.fixture(scope="module")
def served(provider: Provider) -> Iterator[ServedModelpool]:
    """A server of its own, for here people are locked out; with a provider."""
    home = fresh_path("account")
    home.mkdir()
    (home / "modelpool.toml").write_text(f"""
        [sign_in.providers.corp]
        issuer = "{provider.issuer}"
        client_id = "modelpool"
        client_secret = "s3cret"
        label = "Corp"
        groups = {{ data-science = ["acme:scientist"] }}
    """)
    with serve_modelpool(home, "--workers", "2", "--job-workers", "0") as server:
        run_command(server, "tenant", "create", "acme")
        for name in ("ann", "max", "kim"):
            place = ("--tenant", "acme", "--role", "scientist")
            run_command(server, "user", "create", name, "--password-stdin", *place, said=PASSWORD)
        yield server


@pytest.fixture
def visits(chromium: Browser, served: ServedModelpool) -> Iterator[Visits]:
    opened = Visits(chromium, served.url, {})
    yield opened
    opened.close()
    assert ours(opened) == []


def ours(visits: Visits) -> list[str]:
    """Return what the browser complained of that is not the provider's."""
    return [text for text in visits.complaints if visits.url in text or " at " not in text]


def outside(visits: Visits, **options: object) -> Page:
    """Open the console in a browser in which nobody has signed in."""
    page = visits.stranger(**options)
    page.goto("/console/")
    return page


def give_password(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def confirm(page: Page) -> None:
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()


def test_a_second_factor_from_set_up_to_the_day_the_phone_is_gone(visits: Visits) -> None:
    page = visits("ann")
    page.get_by_role("button", name="ann").click()
    page.get_by_role("link", name="Your account").click()
    page.get_by_role("link", name="Set up two-factor sign-in").click()
    confirm(page)
    assert page.locator(".mp-qr").evaluate("image => image.naturalWidth") > 0
    secret = page.locator("#secret").text_content()
    page.get_by_label("Code that the app shows").fill(code_of(secret or ""))
    page.get_by_role("button", name="Turn it on").click()
    codes = (page.locator("#codes").text_content() or "").split()
    assert len(codes) == 10
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("Recovery codes (10 left)")).to_be_visible()
    page.get_by_role("button", name="Sign out", exact=True).last.click()

    give_password(page, "ann")
    page.get_by_label("Code").fill("123456")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Incorrect code.")
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/console/tenants/acme/")
    page.goto("/console/account/")
    page.get_by_role("link", name="Turn two-factor sign-in off").click()
    confirm(page)
    page.get_by_role("button", name="Turn it off").click()
    expect(page.get_by_role("link", name="Set up two-factor sign-in")).to_be_visible()


def test_a_session_that_is_ended_elsewhere_leads_to_the_sign_in(visits: Visits) -> None:
    here = visits("max")
    visits.sessions.clear()
    there = visits("max")
    here.goto("/console/account/")
    here.get_by_role("button", name="Sign out everywhere else").click()
    expect(here.get_by_role("status").filter(has_text="1 other session has ended")).to_be_visible()
    there.goto("/console/tenants/acme/models/")
    expect(there.get_by_role("heading", name="Sign in")).to_be_visible()


def test_guessing_ends_and_says_for_how_long(visits: Visits) -> None:
    page = outside(visits)
    for _ in range(6):
        give_password(page, "kim", "wrong")
    expect(page.get_by_role("alert")).to_have_text("Too many attempts. Wait five minutes, then try again.")
    give_password(page, "kim")
    expect(page.get_by_role("alert")).to_have_text("Too many attempts. Wait five minutes, then try again.")


def test_one_comes_in_by_the_organisation(visits: Visits) -> None:
    page = outside(visits)
    page.goto("/console/tenants/acme/datasets/")
    page.get_by_role("button", name="Sign in with Corp").click()
    page.get_by_role("button", name="zoe").first.click()
    page.wait_for_url("**/console/tenants/acme/datasets/")
    page.goto("/console/account/")
    expect(page.get_by_text("connected since")).to_be_visible()
    expect(page.get_by_text("none here")).to_be_visible()


def test_without_a_group_that_counts_one_is_told_so(visits: Visits) -> None:
    page = outside(visits)
    page.get_by_role("button", name="Sign in with Corp").click()
    page.get_by_role("button", name="sam").first.click()
    expect(page.get_by_role("heading", name="You have no access yet")).to_be_visible()
    expect(page.get_by_text("Your groups: sales")).to_be_visible()
    check_accessible(page)
    assert ["(Forbidden)" in text for text in ours(visits)] == [True]
    visits.complaints.clear()


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_keeps_people_out(visits: Visits, look: str) -> None:
    page = outside(visits, **LOOKS[look])
    check(page)
    give_password(page, "ann", "wrong" if look == "light" else PASSWORD)
    check(page)
    if look == "light":
        give_password(page, "ann")
    page.wait_for_url("**/console/tenants/acme/")
    for path in ("account/", "account/password/", "account/second-factor/new/", "logout/"):
        page.goto(f"/console/{path}")
        check(page)
    page.goto("/console/account/second-factor/new/")
    confirm(page)
    check(page)


def check(page: Page) -> None:
    """Fail with what keeps people out, and where the page is wider than the screen."""
    page.wait_for_load_state("networkidle")
    check_accessible(page)
    too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert too_wide == 0, page.url
