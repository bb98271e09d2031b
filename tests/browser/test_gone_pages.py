"""A page that is open while its reader, or what it shows, goes away."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visits


def test_a_page_whose_session_ended_leads_to_the_login_and_back(visit: Visits) -> None:
    page = visit("vic")
    home = re.compile(r"/console/tenants/acme/$")
    expect(page).to_have_url(home)
    page.context.clear_cookies()
    expect(page).to_have_url(re.compile(r"/console/.*login/\?next=/console/tenants/acme/$"), timeout=20_000)
    expect(page.locator("input[type=password]")).to_have_count(1)
    visit.complaints.clear()  # the browser tells of the 401
