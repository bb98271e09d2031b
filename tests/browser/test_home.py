"""The home page in a real browser: from an empty tenant to a first prediction, and charts that come by themselves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import check_accessible
from tests.browser.conftest import PASSWORD, Visits
from tests.fixtures.onnx_files import adds
from tests.servers.modelpool import ServedModelpool, inherited_environment

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(180)]

_HOME = "/console/tenants/fresh/"
_WRITTEN_MS = 90_000


def _said(served: ServedModelpool, *arguments: str, typed: str = "") -> str:
    command = [sys.executable, "-P", "-m", "modelpool", *arguments, "--home", str(served.home)]
    done = subprocess.run(command, check=True, input=typed, capture_output=True, text=True, env=inherited_environment())
    return done.stdout


@pytest.fixture(scope="session")
def api(served: ServedModelpool) -> Iterator[httpx.Client]:
    """An empty tenant with a scientist, Flo, and a viewer, Val; a client of its programs."""
    _said(served, "tenant", "create", "fresh")
    for name, role in (("flo", "scientist"), ("val", "viewer")):
        _said(served, "user", "create", name, "--password-stdin", "--tenant", "fresh", "--role", role, typed=PASSWORD)
    key = json.loads(_said(served, "key", "create", "--tenant", "fresh", "--role", "scientist", "--json"))["key"]
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=f"{served.url}/api/v1/tenants/fresh", headers=headers, timeout=60) as client:
        yield client


def _steps_done(page: Page) -> Any:
    return page.locator("#guide li.mp-done")


def test_three_steps_tick_themselves_off_and_charts_come_without_reload(visit: Visits, api: httpx.Client) -> None:
    page = visit("flo")
    expect(page).to_have_url(re.compile(_HOME + "$"))
    expect(_steps_done(page)).to_have_count(0)
    check_accessible(page)
    page.get_by_role("button", name=re.compile("Use a sample")).click()
    expect(page).to_have_url(re.compile(r"/train/\?dataset="))
    page.go_back()
    page.reload()
    expect(_steps_done(page)).to_have_count(1)
    answer = api.post(
        "/models/sums/versions", files={"file": ("m.onnx", adds(1.0))}, data={"metadata": '{"activate": "always"}'}
    )
    assert answer.status_code == 201, answer.text
    expect(_steps_done(page)).to_have_count(2, timeout=20_000)
    expect(page.get_by_text("Nobody has asked a model in the last hour.")).to_be_visible()
    expect(page.get_by_role("link", name="Try it")).to_have_attribute("href", re.compile("/models/sums/versions/1/$"))
    for _ in range(30):
        assert api.post("/models/sums/predict", json={"instances": [[1.0]]}).status_code == 200
    expect(page.locator("#guide li")).to_have_count(0, timeout=_WRITTEN_MS)
    expect(page.locator("#live")).to_contain_text("sums")
    page.get_by_role("link", name="Last day").click()
    expect(page).to_have_url(re.compile(r"\?period=day$"))
    expect(page.locator("#serving dd").first).to_have_text("30", timeout=20_000)
    expect(page.locator("#serving canvas")).to_have_count(2)
    check_accessible(page)
    details = page.locator("#serving details").first
    details.locator("summary").click()
    asked = page.evaluate(
        """() => {
          const part = document.getElementById("serving");
          return document.dispatchEvent(new CustomEvent("htmx:beforeRequest", {cancelable: true, detail: {elt: part}}));
        }"""
    )
    assert asked is False, "a table that somebody reads stays open"
    expect(details).to_have_attribute("open", "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_read_home_and_the_list_of_tenants(
    visit: Visits, api: httpx.Client, scheme: Literal["light", "dark"], width: int
) -> None:
    page = visit("val", color_scheme=scheme, viewport={"width": width, "height": 900})
    for address in (_HOME, f"{_HOME}?period=day", "/console/tenants/"):
        page.goto(address)
        check_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.get_by_role("button", name=re.compile("sample"))).to_have_count(0)
