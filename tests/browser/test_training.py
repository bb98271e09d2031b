"""From a table never seen before to an active version, with a mouse; and files that go on where they broke off."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.accessibility import check_accessible
from tests.browser.conftest import Visits

pytestmark = [pytest.mark.slow, pytest.mark.browser]

HOME = "/console/tenants/acme"
_FINISHES_MS = 90_000


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of flats: numbers, texts, gaps, and a column that follows from the others."""
    chance = random.Random(1)
    lines = ["size,rooms,city,balcony,rent"]
    for _ in range(300):
        size, rooms = chance.randint(20, 140), chance.randint(1, 5)
        city = chance.choice(["Rome", "Oslo", "<b>Bern</b>", ""])
        rent, balcony = size * 11 + rooms * 50 + chance.random(), chance.choice(["yes", "no"])
        lines.append(f"{size},{rooms},{city},{balcony},{rent:.2f}")
    path = tmp_path_factory.mktemp("tables") / "Flats 2024.csv"
    path.write_text("\n".join(lines))
    return path


def choose_file(page: Page, path: Path) -> None:
    page.locator("input[type=file]").set_input_files(path)


def test_the_whole_way_from_a_table_to_an_active_version(visit: Visits, table: Path) -> None:
    page = visit("ann")
    page.goto(f"{HOME}/train/")
    check_accessible(page)
    choose_file(page, table)
    page.wait_for_url("**/train/?dataset=*")
    expect(page.get_by_text("Flats 2024.csv has 300 rows and 5 columns")).to_be_visible()
    expect(page.get_by_role("radio", name="rent")).to_be_checked()
    expect(page.get_by_text("Regression: a number between")).not_to_have_count(0)
    check_accessible(page)
    second = page.url
    page.get_by_role("button", name="Go on to the settings").click()
    page.wait_for_url("**target=rent**")
    expect(page.get_by_label("Trainer", exact=True)).to_have_value("tabular_regressor")
    expect(page.get_by_label("Model", exact=True)).to_have_value("flats-2024")
    check_accessible(page)
    page.go_back()
    assert page.url == second
    page.go_forward()
    page.reload()
    page.get_by_label("Model", exact=True).fill("flats")
    page.get_by_label("Algorithm").select_option("ridge")
    page.get_by_label("Cv folds").fill("lots")
    page.get_by_role("button", name="Start the training").click()
    expect(page.get_by_text("Write a whole number, such as 100.")).to_be_visible()
    expect(page.get_by_label("Model", exact=True)).to_have_value("flats")
    visit.complaints[:] = [one for one in visit.complaints if "422" not in one]
    page.get_by_label("Cv folds").fill("2")
    page.get_by_label("let the new version answer").select_option("never")
    page.get_by_role("button", name="Start the training").click()
    page.wait_for_url("**/jobs/*/")
    expect(page.get_by_text("Version 1 is ready")).to_be_visible(timeout=_FINISHES_MS)
    check_accessible(page)
    page.get_by_role("button", name="Activate version 1").click()
    page.wait_for_url("**/models/flats/**")
    page.go_back()
    page.reload()
    expect(page.get_by_text("It is active")).to_be_visible()
    page.get_by_role("link", name="Train again").click()
    page.wait_for_url("**again=**")
    expect(page.get_by_label("Algorithm")).to_have_value("ridge")
    expect(page.get_by_label("Cv folds")).to_have_value("2")


def test_another_trainer_brings_its_own_form(visit: Visits, table: Path) -> None:
    page = visit("ann")
    page.goto(f"{HOME}/train/?model=balconies")
    choose_file(page, table)
    page.get_by_role("radio", name="balcony").check()
    page.get_by_role("button", name="Go on to the settings").click()
    expect(page.get_by_label("Trainer", exact=True)).to_have_value("tabular_classifier")
    expect(page.get_by_label("Algorithm").locator("option", has_text="logistic_regression")).to_have_count(1)
    page.get_by_label("Trainer", exact=True).select_option("tabular_regressor")
    expect(page.get_by_label("Algorithm").locator("option", has_text="ridge")).to_have_count(1)
    expect(page).to_have_url(re.compile("trainer=tabular_regressor"))
    page.get_by_role("button", name="Start the training").click()
    page.wait_for_url("**/jobs/*/")
    expect(page.get_by_role("heading", name="The training failed")).to_be_visible(timeout=_FINISHES_MS)
    expect(page.get_by_text("use tabular_classifier for categories").first).to_be_visible()
    check_accessible(page)
    page.get_by_role("link", name="Change the settings and train again").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value("balconies")


def test_a_large_file_goes_on_where_it_broke_off(visit: Visits, tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * (40 << 18))
    page = visit("ann")
    page.goto(f"{HOME}/datasets/")
    offsets: list[int] = []
    is_cut = True

    def watch(route: Route) -> None:
        if route.request.method == "PATCH":
            offsets.append(int(route.request.headers["upload-offset"]))
            if is_cut and offsets[-1]:
                return route.abort()
        return route.continue_()

    page.route("**/api/v1/tenants/acme/uploads/*", watch)
    choose_file(page, path)
    expect(page.get_by_text("The server cannot be reached; trying again")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused. What was sent is kept")).to_be_visible()
    is_cut = False
    page.reload()
    choose_file(page, path)
    page.wait_for_url(re.compile(r"/datasets/[0-9a-f-]{36}/"))
    assert offsets.count(0) == 1
    assert offsets[-1] > 0
    expect(page.get_by_role("heading", name="large.csv")).to_be_visible()
    visit.complaints[:] = [one for one in visit.complaints if "ERR_FAILED" not in one]


def test_a_dropped_file_of_another_kind_is_refused_before_it_is_sent(visit: Visits) -> None:
    page = visit("ann")
    page.goto(f"{HOME}/datasets/")
    drop = """(root, name) => {
      const data = new DataTransfer();
      data.items.add(new File(["x,y\\n1,2\\n3,4\\n"], name));
      root.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.locator("[data-upload]").evaluate(drop, "notes.docx")
    expect(page.get_by_text("This kind of file is not read here")).to_be_visible()
    page.locator("[data-upload]").evaluate(drop, "dropped.csv")
    page.wait_for_url(re.compile(r"/datasets/[0-9a-f-]{36}/"))
    expect(page.get_by_role("heading", name="dropped.csv")).to_be_visible()
    page.get_by_role("button", name="Rename or keep until").click()
    page.get_by_role("textbox", name="Name").fill("numbers")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="numbers", exact=True)).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("is deleted for good")
    page.get_by_role("button", name="Delete the dataset").click()
    page.wait_for_url("**/datasets/")
    expect(page.get_by_text("numbers is deleted.")).to_be_visible()


def test_a_file_for_which_there_is_no_room_is_refused_in_the_servers_words(visit: Visits, table: Path) -> None:
    page = visit("ann")
    page.goto(f"{HOME}/datasets/")
    problem = {"title": "No room", "status": 507, "detail": "5 bytes are free of the tenant's storage quota."}
    page.route("**/api/v1/tenants/acme/uploads", lambda route: route.fulfill(status=507, json=problem))
    choose_file(page, table)
    expect(page.get_by_role("alert")).to_contain_text("5 bytes are free of the tenant's storage quota.")
    expect(page.get_by_text("Drop a table here")).to_be_visible()
    assert ["507" in one for one in visit.complaints] == [True]
    visit.complaints.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_keeps_people_out(visit: Visits, table: Path, scheme: Literal["light", "dark"], width: int) -> None:
    page = visit("ann", color_scheme=scheme, viewport={"width": width, "height": 844})
    page.goto(f"{HOME}/train/")
    check_accessible(page)
    choose_file(page, table)
    page.get_by_role("button", name="Go on to the settings").click()
    page.wait_for_url("**target=**")
    check_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Start the training").click()
    page.wait_for_url("**/jobs/*/")
    expect(page.get_by_text(re.compile(r"Version \d+ is ready"))).to_be_visible(timeout=_FINISHES_MS)
    for address in ("jobs/", "datasets/"):
        page.goto(f"{HOME}/{address}")
        check_accessible(page)
        page.locator(f"a[href*='/{address}']:not(nav a)").first.click()
        page.wait_for_url(re.compile(rf"/{address}[0-9a-f-]{{36}}/"))
        check_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
