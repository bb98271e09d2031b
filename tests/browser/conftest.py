"""A real server and a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.sandbox import fresh_path
from tests.servers.browser import BrowserUnavailable, launch_chromium
from tests.servers.modelpool import ServedModelpool, inherited_environment, serve_modelpool

PASSWORD = "correct horse battery staple"
PEOPLE = {
    "olga": ["--operator"],
    "ada": ["--tenant", "acme", "--role", "admin"],
    "ann": ["--tenant", "acme", "--role", "scientist"],
    "vic": ["--tenant", "acme", "--role", "viewer"],
    "eve": ["--tenant", "umbrella", "--role", "admin"],
}
"""Who can sign in, each with :data:`PASSWORD`."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser of this test process."""
    try:
        with launch_chromium() as browser:
            yield browser
    except BrowserUnavailable as error:
        if os.environ.get("CI", "").lower() not in ("", "0", "false"):
            pytest.fail(f"CI must have a browser: {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def served() -> Iterator[ServedModelpool]:
    """A server with two tenants and :data:`PEOPLE`."""
    home = fresh_path("browsed")
    with serve_modelpool(home) as server:
        for tenant in ("acme", "umbrella"):
            run_command(server, "tenant", "create", tenant)
        for name, place in PEOPLE.items():
            run_command(server, "user", "create", name, "--password-stdin", *place, said=PASSWORD)
        yield server


@pytest.fixture(scope="session")
def sessions(chromium: Browser, served: ServedModelpool) -> dict[str, Any]:
    """What the browser keeps of people who have signed in: signing in takes long on purpose."""
    return {}


@dataclass(slots=True)
class Visits:
    """``visit("ann")`` opens a page on which Ann has signed in; what the browser complains of is kept."""

    browser: Browser
    url: str
    sessions: dict[str, Any]
    complaints: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def __call__(self, name: str, **options: Any) -> Page:
        """Open the home page; ``options`` are those of Playwright's ``new_context``."""
        page = self.stranger(storage_state=self.sessions.get(name), **options)
        if name not in self.sessions:
            sign_in(page, name)
            self.sessions[name] = page.context.storage_state()
        page.goto("/console/")
        return page

    def stranger(self, **options: Any) -> Page:
        """Open an empty page in a browser in which nobody has signed in."""
        context = self.browser.new_context(base_url=self.url, **options)
        self._contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("console", lambda message: self.complaints.extend(_complaints(message)))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def close(self) -> None:
        """End every session with its page."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def visit(chromium: Browser, served: ServedModelpool, sessions: dict[str, Any]) -> Iterator[Visits]:
    """Open pages; what the browser complains of, and nobody takes out of the list, fails the test."""
    visits = Visits(chromium, served.url, sessions)
    yield visits
    visits.close()
    assert visits.complaints == []


def _complaints(message: ConsoleMessage) -> list[str]:
    return [f"{message.text} at {message.location.get('url')}"] if message.type in ("error", "warning") else []


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Fill in the first page that strangers see."""
    page.goto("/console/")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "/login" not in url)


def run_command(server: ServedModelpool, *arguments: str, said: str = "") -> None:
    """Run ``modelpool`` on the server's home, with ``said`` as what is typed."""
    command = [sys.executable, "-P", "-m", "modelpool", *arguments, "--home", str(server.home)]
    subprocess.run(command, check=True, input=said.encode(), capture_output=True, env=inherited_environment())
