"""The real Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright


class BrowserUnavailable(Exception):
    """There is no Chromium here; the message says what to install."""


def find_chromium() -> str:
    """Return the program, or raise :class:`BrowserUnavailable`."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise BrowserUnavailable("no Chromium found; run scripts/test-servers, or install it (Debian: chromium)")
    return found


@contextmanager
def launch_chromium() -> Iterator[Browser]:
    """Start a browser without a window, and end it."""
    program = find_chromium()
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # root may not have one
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        try:
            yield browser
        finally:
            browser.close()
