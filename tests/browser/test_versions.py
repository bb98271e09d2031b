"""The page of a version in a real browser: charts, and trying it with a mouse, by keyboard and from a terminal."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import check_accessible
from tests.browser.conftest import Visits
from tests.fixtures.onnx_files import adds
from tests.servers.modelpool import ServedModelpool, inherited_environment

pytestmark = [pytest.mark.slow, pytest.mark.browser]

PLANS, SPENDING, UPLOADED = "plans", "spending", "adder"
_TRAINED_WITHIN_S = 120
_COLUMNS = ["age", "member", "city", "joined", "visits", "plan", "spent"]


def _rows() -> list[list[Any]]:
    chance = random.Random(4)
    rows = []
    for number in range(300):
        age, city = round(chance.gauss(40, 12), 1), chance.choice(["Rome", "Oslo", "<b>Bern</b>"])
        spent = round(age / 4 + 9 * (city == "Rome") + chance.gauss(0, 2), 2)
        plan = "gold" if spent > 16 else "plus" if spent > 11 else "<i>basic</i>"
        joined = f"2024-{1 + number % 12:02}-{1 + number % 28:02}T08:30:00Z"
        rows.append([age, chance.random() < 0.5, city, joined, chance.randint(0, 9), plan, spent])
    return rows


@pytest.fixture(scope="session")
def key(served: ServedModelpool) -> str:
    """A scientist's key in acme."""
    command = [sys.executable, "-P", "-m", "modelpool", "key", "create", "--tenant", "acme", "--role", "scientist"]
    command += ["--json", "--home", str(served.home)]
    done = subprocess.run(command, check=True, capture_output=True, env=inherited_environment())
    return str(json.loads(done.stdout)["key"])


@pytest.fixture(scope="session")
def api(served: ServedModelpool, key: str) -> Iterator[httpx.Client]:
    """A scientist's programs in acme."""
    base_url = f"{served.url}/api/v1/tenants/acme"
    with httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        yield client


def _sent(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


@pytest.fixture(scope="session")
def trained(api: httpx.Client) -> None:
    """A classifier, twice, a regressor, and an upload of which nothing is known."""
    dataset = _sent(api.post("/datasets", json={"columns": _COLUMNS, "rows": _rows(), "name": "people.csv"}))["id"]
    asked = [
        (PLANS, "tabular_classifier", "plan", ["spent"], "always"),
        (PLANS, "tabular_classifier", "plan", ["spent", "visits"], "never"),
        (SPENDING, "tabular_regressor", "spent", ["plan"], "always"),
    ]
    for model, trainer, target, dropped, activate in asked:
        params = {"algorithm": "random_forest", "n_estimators": 20, "cv_folds": 2, "drop_columns": dropped}
        body = {"trainer": trainer, "target": target, "params": params, "dataset": dataset, "activate": activate}
        job = _sent(api.post(f"/models/{model}/train", json=body))
        deadline = time.monotonic() + _TRAINED_WITHIN_S
        while job["state"] not in ("succeeded", "failed", "cancelled") and time.monotonic() < deadline:
            time.sleep(0.2)
            job = _sent(api.get(f"/jobs/{job['id']}"))
        assert job["state"] == "succeeded", job
    while _sent(api.get(f"/datasets/{dataset}")).get("columns") is None and time.monotonic() < deadline:
        time.sleep(0.2)
    _sent(api.post(f"/models/{UPLOADED}/versions", files={"file": ("m.onnx", adds(2))}))


def open_version(visit: Visits, model: str, number: int = 1, *, person: str = "ann", **options: Any) -> Page:
    page = visit(person, **options)
    page.goto(f"/console/tenants/acme/models/{model}/versions/{number}/")
    return page


def probabilities(page: Page) -> list[float]:
    return [float(bar) for bar in page.locator(".mp-bars progress").evaluate_all("bars => bars.map(b => b.value)")]


@pytest.mark.usefixtures("trained")
class TestThePage:
    def test_charts_are_drawn(self, visit: Visits) -> None:
        page = open_version(visit, PLANS)
        expect(page.get_by_role("table", name="Rows by what they are")).to_be_visible()
        for chart in ("roc", "precision-recall", "calibration", "importance"):
            assert page.evaluate(
                "id => Chart.getChart(document.querySelector(`#${id} canvas`)).data.datasets.length", chart
            )
        drawn = page.evaluate(
            "Chart.getChart(document.querySelector('#roc canvas')).data.datasets.map(one => one.label)"
        )
        assert any(label.startswith("<i>basic</i> (AUC") for label in drawn)
        expect(page.get_by_text("Proved equal: on")).to_be_visible()

    def test_a_regressor_has_its_own_charts(self, visit: Visits) -> None:
        page = open_version(visit, SPENDING)
        points = "Chart.getChart(document.querySelector('#predicted-actual canvas')).data.datasets[0].data.length"
        assert page.evaluate(points) == 60
        expect(page.locator("#residuals canvas")).to_be_visible()
        expect(page.get_by_role("table", name="Rows by what they are")).to_have_count(0)

    def test_an_upload_is_told_how_to_send_figures(self, visit: Visits) -> None:
        expect(open_version(visit, UPLOADED).get_by_text("Nobody told how good it is")).to_be_visible()

    def test_it_is_activated_in_a_dialog_and_undone(self, visit: Visits) -> None:
        page = open_version(visit, PLANS, 2)
        page.get_by_role("button", name="Activate", exact=True).first.click()
        dialog = page.get_by_role("dialog", name="Activate version 2?")
        expect(dialog.get_by_text("instead of version 1")).to_be_visible()
        dialog.get_by_role("button", name="Activate").click()
        page.get_by_role("button", name="Undo: back to version 1").click()
        expect(page.get_by_text("Rolled back: version 1 is active.")).to_be_visible()

    def test_an_alias_keeps_it_until_it_is_taken_away(self, visit: Visits, api: httpx.Client) -> None:
        number = _sent(api.post(f"/models/{UPLOADED}/versions", files={"file": ("m.onnx", adds(3))}))["number"]
        page = open_version(visit, UPLOADED, number)
        page.get_by_label("Alias", exact=True).fill("next")
        page.get_by_role("button", name="Give it this alias").click()
        expect(page.get_by_text("take them away first")).to_be_visible()
        page.get_by_role("button", name="Take away next").click()
        page.get_by_role("button", name="Delete this version").click()
        dialog = page.get_by_role("dialog", name=f"Delete version {number}?")
        expect(dialog.get_by_text("Lost for good")).to_be_visible()
        dialog.get_by_role("button", name="Delete").click()
        expect(page.get_by_text(f"Version {number} of {UPLOADED} is deleted.")).to_be_visible()

    def test_a_file_comes_with_the_digest_that_is_shown(self, visit: Visits) -> None:
        import hashlib

        page = open_version(visit, PLANS)
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile("Download .*compiled")).last.click()
        digest = hashlib.sha256(download.value.path().read_bytes()).hexdigest()
        expect(page.get_by_text(digest)).to_be_visible()


@pytest.mark.usefixtures("trained")
class TestTrying:
    def test_the_example_is_answered_with_bars(self, visit: Visits) -> None:
        page = open_version(visit, PLANS)
        page.get_by_role("button", name="Predict").first.click()
        expect(page.get_by_role("status").get_by_text("Prediction", exact=True)).to_be_visible()
        assert sum(probabilities(page)) == pytest.approx(1, abs=1e-6)
        before = probabilities(page)
        page.get_by_label("age", exact=True).fill("12")
        page.get_by_label("city", exact=True).select_option("Oslo")
        with page.expect_response("**/try/"):
            page.get_by_role("button", name="Predict").first.click()
        expect(page.get_by_label("age", exact=True)).to_have_value("12")
        expect(page.locator(".mp-prediction")).to_have_text("<i>basic</i>")
        assert probabilities(page) != before

    def test_what_is_wrong_is_told_at_the_field_and_by_keyboard_mended(self, visit: Visits) -> None:
        page = open_version(visit, PLANS)
        age = page.get_by_label("age", exact=True)
        age.fill("old")
        age.press("Enter")
        expect(age).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_role("alert").get_by_text("look at age")).to_be_visible()
        check_accessible(page)
        age.fill("33")
        age.press("Enter")
        expect(page.locator(".mp-prediction")).to_be_visible()

    def test_rows_are_pasted(self, visit: Visits) -> None:
        page = open_version(visit, SPENDING)
        page.get_by_role("tab", name="Paste CSV").click()
        field = page.get_by_label("Rows as CSV")
        header, row = field.input_value().strip().split("\n")
        field.fill(f"{header}\n{row}\n{row}\n")
        page.get_by_role("tabpanel", name="Paste CSV").get_by_role("button", name="Predict").click()
        expect(page.get_by_role("region", name="Predictions").get_by_role("row")).to_have_count(3)
        expect(page.get_by_role("tab", name="Paste CSV")).to_have_attribute("aria-selected", "true")

    def test_tabs_by_keyboard(self, visit: Visits) -> None:
        page = open_version(visit, PLANS)
        page.get_by_role("tab", name="curl").focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name="Python")).to_be_focused()
        expect(page.get_by_role("tabpanel", name="Python")).to_be_visible()
        expect(page.get_by_role("tabpanel", name="curl")).not_to_be_visible()

    @pytest.mark.parametrize(("language", "program"), [("curl", ["bash"]), ("python", [sys.executable])])
    def test_the_same_call_works_as_it_is_copied(
        self, visit: Visits, key: str, language: str, program: list[str]
    ) -> None:
        page = open_version(visit, PLANS)
        with page.expect_response("**/try/"):
            page.get_by_role("button", name="Predict").first.click()
        said = page.locator(".mp-prediction").text_content()
        code = page.locator(f"#snippet-{language}").text_content() or ""
        environment = {**inherited_environment(), "MODELPOOL_KEY": key}
        done = subprocess.run([*program, "-c", code], capture_output=True, text=True, env=environment, check=True)
        answer = json.loads(done.stdout) if language == "curl" else eval(done.stdout, {})
        assert answer["predictions"] == [said]
        assert sum(answer["probabilities"][0]) == pytest.approx(1)

    def test_the_call_in_javascript_works(self, visit: Visits, key: str) -> None:
        page = open_version(visit, PLANS)
        code = page.locator("#snippet-javascript").text_content() or ""
        ran = code.replace("console.log(await answer.json())", "return await answer.json()")
        answer = page.evaluate(
            "([code, key]) => new (async () => {}).constructor('process', code)({ env: { MODELPOOL_KEY: key } })",
            [ran, key],
        )
        assert answer["model"] == PLANS

    def test_a_viewer_has_nothing_to_try(self, visit: Visits) -> None:
        page = open_version(visit, PLANS, person="vic")
        expect(page.get_by_role("heading", name="Signature")).to_be_visible()
        expect(page.get_by_role("button", name="Predict")).to_have_count(0)


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("model", [PLANS, SPENDING, UPLOADED])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_nothing_keeps_people_out(visit: Visits, model: str, scheme: Literal["light", "dark"], width: int) -> None:
    page = open_version(visit, model, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.get_by_role("button", name="Predict").first.click()
    expect(page.locator(".mp-prediction")).to_be_visible()
    check_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
