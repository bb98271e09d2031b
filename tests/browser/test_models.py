"""Models in a real browser: found, compared, activated and undone, divided by sliders, copied, deleted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import check_accessible
from tests.browser.conftest import Visits
from tests.fixtures.onnx_files import adds
from tests.servers.modelpool import ServedModelpool, inherited_environment

pytestmark = [pytest.mark.slow, pytest.mark.browser]

MODELS = "/console/tenants/acme/models/"


@pytest.fixture(scope="module")
def api(served: ServedModelpool) -> Iterator[httpx.Client]:
    """A scientist's programs in acme."""
    command = [sys.executable, "-P", "-m", "modelpool", "key", "create", "--tenant", "acme", "--role", "scientist"]
    command += ["--json", "--home", str(served.home)]
    key = json.loads(subprocess.run(command, check=True, capture_output=True, env=inherited_environment()).stdout)[
        "key"
    ]
    with httpx.Client(
        base_url=f"{served.url}/api/v1/tenants/acme", headers={"Authorization": f"Bearer {key}"}, timeout=60
    ) as client:
        yield client


@pytest.fixture
def pool(api: httpx.Client, request: pytest.FixtureRequest) -> Iterator[str]:
    """A model of three versions, the first of them active, for one test."""
    name = f"pool-{abs(hash(request.node.name)) % 10**8}"
    for number, accuracy in enumerate((0.8, 0.9, 0.85), start=1):
        metadata = (
            f'{{"metrics": {{"accuracy": {accuracy}, "log_loss": {1 - accuracy:.2f}}}, "params": {{"n": {number}}}}}'
        )
        answer = api.post(
            f"/models/{name}/versions", files={"file": ("m.onnx", adds(number))}, data={"metadata": metadata}
        )
        assert answer.status_code == 201, answer.text
    assert api.post(f"/models/{name}/versions/1/activate", json={}).status_code == 200
    yield name
    api.delete(f"/models/{name}")


def active(api: httpx.Client, name: str) -> Any:
    return api.get(f"/models/{name}").json()["active_version"]


def open_model(visit: Visits, name: str, *, person: str = "ann", **options: Any) -> Page:
    page = visit(person, **options)
    page.goto(f"{MODELS}{name}/")
    return page


def test_a_model_is_found_and_a_version_activated_and_undone(visit: Visits, api: httpx.Client, pool: str) -> None:
    page = visit("ann")
    page.get_by_role("link", name="Models", exact=True).first.click()
    page.get_by_label("Name or description").fill(pool[-6:])
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_text("1 model", exact=True)).to_be_visible()
    page.get_by_role("link", name=pool).click()
    page.get_by_role("button", name="Activate version 2").first.click()
    expect(page.get_by_text("Version 2 is active: it answers from now on.")).to_be_visible()
    page.get_by_role("button", name="Undo: back to version 1").click()
    expect(page.get_by_text("Rolled back: version 1 is active.")).to_be_visible()


def test_versions_are_chosen_and_compared(visit: Visits, pool: str) -> None:
    page = open_model(visit, pool)
    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_be_disabled()
    page.get_by_label("Choose version 1").check()
    page.get_by_label("Choose version 2").check()
    compare.click()
    page.wait_for_url(re.compile(r"/compare/\?v=2&v=1$"))
    expect(page.get_by_role("row", name=re.compile("accuracy"))).to_contain_text("0.9000")
    expect(page.get_by_role("region", name="Parameters").get_by_role("row", name="n 2 1")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Choose version 1")).to_be_checked()
    expect(compare).to_be_enabled()


def test_the_best_is_named_before_it_is_activated(visit: Visits, pool: str) -> None:
    page = open_model(visit, pool)
    page.get_by_label("Better is").select_option("smaller")
    expect(page.locator("#best-preview")).to_contain_text("it is active already")
    page.get_by_label("Best of the pool by").select_option("log_loss")
    expect(page.locator("#best-preview")).to_contain_text("Version 2 would be activated: log_loss 0.1000")
    page.locator("#best-preview").get_by_role("button", name="Activate version 2").click()
    expect(page.get_by_role("button", name="Undo: back to version 1")).to_be_visible()


def test_requests_are_divided_by_the_keyboard(visit: Visits, api: httpx.Client, pool: str) -> None:
    page = open_model(visit, pool)
    slider = page.get_by_role("slider", name="Share of the canary")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Share of the canary, exactly")).to_have_value("8")
    page.get_by_role("button", name="Set the canary").click()
    expect(page.get_by_text("Version 3 answers 8 % of the requests.")).to_be_visible()
    for _ in range(20):
        assert api.post(f"/models/{pool}/predict", json={"instances": [[1.0]]}).status_code == 200
    figures = page.get_by_role("region", name="Figures side by side")
    expect(figures.get_by_role("row", name=re.compile("^v1")).first).to_be_visible(timeout=30_000)


def test_a_split_adds_up(visit: Visits, api: httpx.Client, pool: str) -> None:
    page = open_model(visit, pool)
    page.get_by_label("Version of part 3").select_option("v2")
    page.get_by_role("slider", name="Share of part 1").fill("80")
    shares = [page.get_by_label(f"Share of part {part}, exactly").input_value() for part in (1, 2, 3)]
    assert [float(share) for share in shares] == [80, 20, 0]
    page.get_by_label("Share of part 3, exactly").fill("10")
    page.get_by_label("Share of part 2, exactly").fill("10")
    expect(page.locator("[data-sum]")).to_have_text("100 %")
    page.get_by_role("button", name="Split the requests").click()
    expect(page.get_by_text("The requests are divided: v1: 80 %, v3: 10 %, v2: 10 %.")).to_be_visible()
    page.get_by_role("button", name="Let the active version answer everything").click()
    expect(page.get_by_text("The active version answers everything again; the figures stay.")).to_be_visible()


def test_a_model_is_made_filled_and_deleted(visit: Visits, tmp_path: Path) -> None:
    page = visit("ann")
    page.goto(MODELS)
    page.get_by_role("link", name="New model").click()
    page.get_by_label("Name", exact=True).fill("by-hand")
    page.get_by_label("Name of the tag").first.fill("<i>team</i>")
    page.get_by_label("Value of the tag").first.fill("north")
    page.get_by_role("button", name="Make the model").click()
    expect(page.get_by_text("by-hand is there.")).to_be_visible()
    expect(page.get_by_role("link", name="<i>team</i>=north")).to_be_visible()
    file = tmp_path / "m.onnx"
    file.write_bytes(adds(1))
    page.get_by_label("Choose a model file").set_input_files(file)
    page.get_by_label("Metrics").fill("accuracy = 0.5")
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_url("**/versions/1/**")
    page.goto(f"{MODELS}by-hand/")
    page.get_by_role("button", name="Delete this model …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 version with its files")
    dialog.get_by_role("textbox").fill("by-hand")
    dialog.get_by_role("button", name="Delete it all").click()
    expect(page.get_by_text("by-hand is deleted.")).to_be_visible()


def test_a_viewer_looks_and_changes_nothing(visit: Visits, pool: str) -> None:
    page = open_model(visit, pool, person="vic")
    expect(page.get_by_role("button", name="Compare")).to_be_visible()
    for name in ("Activate", "Upload", "Delete", "Set the", "Split"):
        expect(page.get_by_role("button", name=re.compile(name))).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_keeps_people_out(visit: Visits, pool: str, width: int, scheme: Literal["light", "dark"]) -> None:
    page = open_model(visit, pool, viewport={"width": width, "height": 844}, color_scheme=scheme)
    for path in (f"{pool}/", "", f"{pool}/compare/?v=1&v=2", f"{pool}/edit/", f"{pool}/delete-versions/?v=2"):
        page.goto(f"{MODELS}{path}")
        check_accessible(page)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
    page.goto("/console/tenants/acme/new-model/")
    check_accessible(page)
