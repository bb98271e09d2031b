"""What a tenant's administrators and operators do with a mouse, and that nothing keeps people out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import check_accessible
from tests.browser.conftest import PASSWORD, Visits, sign_in
from tests.servers.modelpool import ServedModelpool

pytestmark = [pytest.mark.slow, pytest.mark.browser]

PAGES = [
    "tenants/acme/members/", "tenants/acme/keys/", "tenants/acme/keys/new/", "tenants/acme/audit/",
    "tenants/acme/settings/", "operate/", "operate/tenants/", "operate/tenants/new/", "operate/tenants/acme/",
    "operate/people/", "operate/people/new/", "operate/people/2/", "operate/jobs/", "operate/nodes/",
    "operate/settings/", "operate/keys/", "operate/audit/",
]  # fmt: skip
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_keeps_people_out(visit: Visits, look: str) -> None:
    page = visit("olga", **LOOKS[look])
    for path in PAGES:
        answer = page.goto(f"/console/{path}")
        assert answer is not None
        assert answer.status == 200, path
        page.wait_for_load_state("networkidle")
        check_accessible(page)
        too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert too_wide == 0, path


def message(page: Page, text: str) -> None:
    """Wait for what the page says after a form."""
    expect(page.get_by_role("status").filter(has_text=text).first).to_be_visible()


def test_a_member_is_added_changed_and_removed(visit: Visits) -> None:
    page = visit("ada")
    page.get_by_role("link", name="Members").click()
    page.get_by_label("User name").fill("eve")
    page.get_by_label("Role", exact=True).first.select_option("predictor")
    page.get_by_role("button", name="Add", exact=True).click()
    message(page, "eve is Predictor now.")
    page.get_by_label("Role of eve", exact=True).select_option("scientist")
    page.get_by_role("button", name="Change the role of eve").click()
    message(page, "eve is Scientist now.")
    remove = page.get_by_role("button", name="Remove eve")
    remove.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Remove eve?")
    expect(dialog).to_contain_text("keys that they made go on working")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(remove).to_be_focused()
    remove.click()
    check_accessible(page)
    dialog.get_by_role("button", name="Remove").click()
    message(page, "eve is no longer a member.")
    expect(page.get_by_label("Role of eve", exact=True)).to_have_count(0)


def test_a_key_is_made_copied_used_and_revoked(visit: Visits) -> None:
    page = visit("ada", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="Keys").click()
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name").fill("web <b>shop</b>")
    page.get_by_label("Role").select_option("viewer")
    page.get_by_label("Expires").select_option("30")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="Copy", exact=True).click()
    secret = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"mp_[0-9A-Za-z]+", secret)
    check_accessible(page)
    page.get_by_role("button", name="Copy the call by curl").click()
    _curl, address, _rest = re.split(r"(http\S+)", page.evaluate("navigator.clipboard.readText()"))
    sent = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(address, headers=sent).json()["role"] == "viewer"
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_role("main")).to_contain_text("web <b>shop</b>")
    expect(page.get_by_role("main")).not_to_contain_text(secret)
    page.get_by_role("button", name=f"Revoke {secret[:8]}").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    message(page, "is revoked.")
    assert httpx.get(address, headers=sent).status_code == 401


def test_a_tenant_and_its_first_person_from_beginning_to_end(visit: Visits) -> None:
    page = visit("olga")
    page.get_by_role("link", name="Tenants", exact=True).click()
    page.get_by_role("link", name="New tenant").click()
    page.get_by_label("Name", exact=True).fill("Initech Inc")
    page.get_by_label("Storage").fill("a lot")
    page.get_by_role("button", name="Create the tenant").click()
    expect(page.get_by_label("Storage")).to_have_value("a lot")
    assert "422" in visit.complaints.pop()
    check_accessible(page)
    page.get_by_label("Name", exact=True).fill("initech")
    page.get_by_label("Storage").fill("2GiB")
    page.get_by_role("button", name="Create the tenant").click()
    message(page, "initech is there.")
    expect(page.get_by_role("main")).to_contain_text("0 B of 2.0 GiB")

    link = _invite(page)
    _choose_password(visit, link)

    page.get_by_role("link", name="I have copied it").click()
    page.goto("/console/operate/tenants/initech/")
    page.get_by_role("button", name="Suspend").click()
    dialog = page.get_by_role("dialog", name="Suspend initech?")
    expect(dialog).to_contain_text("Its 1 member and 0 keys are refused")
    dialog.get_by_role("button", name="Suspend").click()
    message(page, "initech is suspended.")
    page.get_by_role("button", name="Resume").click()
    message(page, "initech is let in again.")
    page.get_by_role("button", name="Delete the tenant").first.click()
    asked = page.get_by_role("dialog", name="Delete initech?")
    asked.get_by_role("textbox").fill("initec")
    asked.get_by_role("button", name="Delete the tenant").click()
    expect(asked).to_be_visible()
    asked.get_by_role("textbox").fill("initech")
    asked.get_by_role("button", name="Delete the tenant").click()
    message(page, "initech is deleted.")


def _invite(page: Page) -> str:
    page.get_by_role("link", name="People").click()
    page.get_by_role("link", name="Add a person").click()
    page.get_by_label("User name").fill("ivy")
    page.get_by_label("Tenant", exact=True).fill("initech")
    page.get_by_label("Role in it").select_option("admin")
    page.get_by_role("button", name="Add and make the link").click()
    check_accessible(page)
    return page.locator("#link").inner_text()


def _choose_password(visit: Visits, link: str) -> None:
    other = visit.browser.new_context(base_url=visit.url)
    person = other.new_page()
    person.goto(link)
    person.get_by_label("New password").fill("short")
    person.get_by_label("The same again").fill("short")
    person.get_by_role("button", name="Set the password").click()
    expect(person.get_by_role("alert").first).to_contain_text("too short")
    check_accessible(person)
    person.get_by_label("New password").fill(PASSWORD)
    person.get_by_label("The same again").fill(PASSWORD)
    person.get_by_role("button", name="Set the password").click()
    person.wait_for_url("**/login/**")
    sign_in(person, "ivy")
    expect(person).to_have_url(re.compile("/console/tenants/initech/$"))
    person.goto(link)
    expect(person.get_by_role("main")).to_contain_text("This link opens nothing")
    other.close()


def test_a_person_is_locked_out_by_a_dialog(visit: Visits) -> None:
    page = visit("olga")
    page.goto("/console/operate/people/?q=eve")
    page.get_by_role("link", name="eve").click()
    page.get_by_role("button", name="Lock out").first.click()
    dialog = page.get_by_role("dialog", name="Lock eve out?")
    expect(dialog).to_contain_text("Their sessions end")
    dialog.get_by_role("button", name="Lock out").click()
    message(page, "eve is locked out.")
    page.get_by_role("button", name="Let in again").click()
    message(page, "eve may sign in again.")


def test_the_trail_is_filtered_in_the_readers_zone_and_exported(visit: Visits, tmp_path: Path) -> None:
    page = visit("olga", timezone_id="Asia/Tokyo")
    page.get_by_role("link", name="Audit").last.click()
    page.get_by_label("Action").fill("tenant.create")
    page.get_by_label("From").fill("2020-01-01T09:00")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile(r"since=2020-01-01T00%3A00%3A00"))
    expect(page.get_by_label("From")).to_have_value("2020-01-01T09:00")
    rows = page.get_by_role("row").filter(has_text="tenant.create")
    expect(rows.filter(has_text="umbrella").first).to_be_visible()
    rows.first.get_by_text("Details").click()
    expect(rows.first.get_by_text("Number")).to_be_visible()
    with page.expect_download() as begun:
        page.get_by_role("link", name="JSON lines").click()
    begun.value.save_as(tmp_path / "audit.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert {line["action"] for line in lines} == {"tenant.create"}
    assert {"acme", "umbrella"} <= {line["target"] for line in lines}
    page.go_back()
    expect(page.get_by_label("Action")).to_have_value("")


def test_nodes_tell_of_themselves_again_and_again(visit: Visits) -> None:
    page = visit("olga")
    page.get_by_role("link", name="Nodes").first.click()
    with page.expect_response(lambda answer: answer.url.endswith("/operate/nodes/"), timeout=15_000) as again:
        pass
    assert again.value.request.headers["hx-request"] == "true"
    expect(page.get_by_role("main")).to_contain_text("Job worker")


def test_a_setting_is_found(visit: Visits) -> None:
    page = visit("olga")
    page.get_by_role("link", name="Settings").last.click()
    page.get_by_label("Search settings").fill("jobs timeout")
    page.get_by_role("button", name="Search").click()
    row = page.get_by_role("row").filter(has_text="jobs.timeout")
    expect(row).to_contain_text("1 h")
    expect(row).to_contain_text("default")


def test_lists_that_are_empty_teach_the_next_step(visit: Visits) -> None:
    page = visit("olga")
    for path, advice in {
        "operate/audit/?actor=nobody": "must be written as they stand in the trail",
        "operate/tenants/?q=nobody": "Search by a part of the name",
        "operate/people/?q=nobody": "Search by a part of the name",
        "operate/jobs/?tenant=nobody": "must be written in full",
        "operate/settings/?q=nothing-like-it": "Search by a part of the key",
        "tenants/umbrella/keys/": "Make the first key",
    }.items():
        page.goto(f"/console/{path}")
        expect(page.get_by_role("main")).to_contain_text(advice)
        check_accessible(page)


def test_a_question_stays_while_the_rows_renew_themselves(visit: Visits, served: ServedModelpool) -> None:
    page = visit("olga")
    page.goto("/console/tenants/acme/keys/new/")
    page.get_by_label("Name").fill("trains")
    page.get_by_label("Role").select_option("scientist")
    page.get_by_role("button", name="Make the key").click()
    sent = {"Authorization": f"Bearer {page.locator('#secret').inner_text()}"}
    rows = [[number / 7, number % 5, "yes" if number % 3 else "no"] for number in range(3000)]
    train = {
        "trainer": "tabular_classifier", "target": "y", "data": {"columns": ["a", "b", "y"], "rows": rows},
        "params": {"algorithm": "random_forest", "n_estimators": 1000},
    }  # fmt: skip
    for model in ("first", "second", "third"):
        begun = httpx.post(
            f"{served.url}/api/v1/tenants/acme/models/{model}/train", headers=sent, json=train, timeout=30
        )
        assert begun.status_code == 202
    page.goto("/console/operate/jobs/")
    page.get_by_role("button", name="Cancel the job of acme/third").click()
    dialog = page.get_by_role("dialog", name="Cancel the job of acme/third?")
    with page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
        pass
    expect(dialog.get_by_role("button", name="Let it run")).to_be_focused()
    check_accessible(page)
    dialog.get_by_role("button", name="Cancel the job").click()
    message(page, "The job of third is being cancelled.")
    for model in ("second", "first"):
        page.get_by_role("button", name=f"Cancel the job of acme/{model}").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
        message(page, f"The job of {model} is being cancelled.")
