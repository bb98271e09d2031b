"""The frame of every page: it obeys a strict content policy, and its buttons work."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import check_accessible
from tests.browser.conftest import PEOPLE, Visits

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.mark.parametrize("name", PEOPLE)
def test_every_page_that_is_linked_opens_without_a_complaint(visit: Visits, name: str) -> None:
    page = visit(name)
    to_see, seen = [page.url], set()
    while to_see:
        url = to_see.pop()
        answer = page.goto(url)
        assert answer is not None
        assert answer.status == 200, url
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        seen.add(url)
        to_see = [link for link in {*to_see, *_links(page)} if link not in seen]
    assert len(seen) >= 5


def _links(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "a[href]:not([download])", "links => links.map(link => link.href.split('#')[0])"
    )
    root = page.url.partition("/console/")[0] + "/console/"
    others = ("?", "/logout/", "/download/")
    return [link for link in found if link.startswith(root) and not any(part in link for part in others)]


def test_scripts_in_a_page_do_not_run(visit: Visits) -> None:
    page = visit("vic")
    complaint = page.evaluate(
        """() => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
        })"""
    )
    assert complaint == "script-src-elem"
    assert page.evaluate("window.ran") is None
    assert "Executing inline script" in visit.complaints.pop()


def test_dark_and_light_are_kept(visit: Visits) -> None:
    page = visit("vic", color_scheme="light")
    page.get_by_role("button", name="vic").click()
    html = page.locator("html")
    expect(html).not_to_have_class(re.compile(r"\bdark\b"))
    page.get_by_role("button", name="Dark").click()
    expect(html).to_have_class(re.compile(r"\bdark\b"))
    page.reload()
    expect(html).to_have_class(re.compile(r"\bdark\b"))


def test_the_sidebar_goes_away_and_stays_away(visit: Visits) -> None:
    page = visit("vic")
    link = page.get_by_role("link", name="Datasets")
    expect(link).to_be_visible()
    page.get_by_role("button", name="Navigation").click()
    expect(link).not_to_be_visible()
    page.reload()
    expect(link).not_to_be_visible()


def test_the_menu_of_a_phone(visit: Visits) -> None:
    page = visit("vic", viewport={"width": 390, "height": 844})
    link = page.get_by_role("link", name="Datasets")
    expect(link).not_to_be_visible()
    page.get_by_role("button", name="Navigation").click()
    link.click()
    page.wait_for_url("**/dataset**")


def test_the_content_is_one_key_away(visit: Visits) -> None:
    page = visit("vic")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


@pytest.mark.parametrize("path", ["", "tenants/", "tenants/acme/", "operate/"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out(visit: Visits, path: str, scheme: Literal["light", "dark"]) -> None:
    page = visit("olga", color_scheme=scheme)
    page.goto(f"/console/{path}")
    check_accessible(page)
