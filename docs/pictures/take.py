"""Takes the pictures of the console that the documents show: ``make pictures``, or ``python docs/pictures/take.py``.

A fresh server is filled (``scene.py``) and looked at in Chromium: each page in light and dark on a desk, and on a phone
of 390 px. Those that the documents name come into this folder, all of them into ``--all FOLDER``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent.parent))  # the server is that of the tests

from playwright.sync_api import Browser, BrowserContext  # noqa: E402
from scene import PASSWORD, set_scene  # noqa: E402

from tests.servers.browser import launch_chromium  # noqa: E402
from tests.servers.modelpool import serve_modelpool  # noqa: E402

DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
VARIANTS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "has_touch": True, "is_mobile": True},
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One page as somebody sees it; ``shown`` are the variants that the documents show."""

    name: str
    person: str
    path: str
    shown: tuple[str, ...] = ("light",)


PICTURES = (
    Picture("home", "ann", "tenants/clinic/", ("light", "dark")),
    Picture("models", "ann", "tenants/clinic/models/", ()),
    Picture("model", "ann", "tenants/clinic/models/tumours/", ("light", "phone")),
    Picture("version", "ann", "tenants/clinic/models/tumours/versions/3/"),
    Picture("regression", "ann", "tenants/clinic/models/progression/versions/2/", ()),
    Picture("compare", "ann", "tenants/clinic/models/tumours/compare/?v=1&v=3&v=4"),
    Picture("train", "ann", "tenants/clinic/train/?dataset={dataset-breast_cancer}&model=tumours"),
    Picture("job", "ann", "tenants/clinic/jobs/{job-2}/"),
    Picture("failed-job", "ann", "tenants/clinic/jobs/{job-7}/", ()),
    Picture("jobs", "ann", "tenants/clinic/jobs/", ()),
    Picture("dataset", "ann", "tenants/clinic/datasets/{dataset-wine}/", ()),
    Picture("datasets", "ann", "tenants/clinic/datasets/", ()),
    Picture("account", "ann", "account/"),
    Picture("members", "ada", "tenants/clinic/members/", ()),
    Picture("keys", "ada", "tenants/clinic/keys/", ()),
    Picture("tenant-settings", "ada", "tenants/clinic/settings/", ()),
    Picture("tenant-audit", "ada", "tenants/clinic/audit/", ()),
    Picture("empty-tenant", "olga", "tenants/lighthouse/", ()),
    Picture("overview", "olga", "operate/"),
    Picture("tenants", "olga", "operate/tenants/", ()),
    Picture("people", "olga", "operate/people/", ()),
    Picture("all-jobs", "olga", "operate/jobs/", ()),
    Picture("nodes", "olga", "operate/nodes/", ()),
    Picture("settings", "olga", "operate/settings/", ()),
    Picture("audit", "olga", "operate/audit/", ()),
)


def main() -> None:
    """Set the scene, look at it, and say what was taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(one.name for one in PICTURES)} (all)")
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="put every variant there, of the whole page")
    arguments = parser.parse_args()
    wanted = [one for one in PICTURES if not arguments.names or one.name in arguments.names]
    with (
        tempfile.TemporaryDirectory(prefix="modelpool-pictures-") as folder,
        serve_modelpool(Path(folder) / "home") as server,
        launch_chromium() as browser,
    ):
        sys.stdout.write("setting the scene …\n")
        names = set_scene(server)
        _wait_for_figures(browser, server.url)
        for variant, options in VARIANTS.items():
            contexts: dict[str, BrowserContext] = {}
            for one in [one for one in wanted if arguments.all or variant in one.shown]:
                if one.person not in contexts:
                    contexts[one.person] = _signed_in(browser, server.url, one.person, options)
                _take(contexts[one.person], one, names=names, variant=variant, everything=arguments.all)


def _wait_for_figures(browser: Browser, url: str) -> None:
    """Web processes tell a few times a minute what they answered."""
    context = _signed_in(browser, url, "ann", VARIANTS["light"])
    page = context.new_page()
    page.goto("/console/tenants/clinic/")
    page.locator("canvas[data-chart]").first.wait_for(timeout=90_000)
    context.close()


def _signed_in(browser: Browser, url: str, person: str, options: dict[str, Any]) -> BrowserContext:
    context = browser.new_context(base_url=url, timezone_id="Europe/Vienna", locale="en-GB", **options)
    page = context.new_page()
    page.goto("/console/")
    page.get_by_label("User name").fill(person)
    page.get_by_label("Password").first.fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda address: "/login" not in address)
    page.close()
    return context


def _take(
    context: BrowserContext, one: Picture, *, names: dict[str, str], variant: str, everything: Path | None
) -> None:
    page = context.new_page()
    path = one.path
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    answer = page.goto(f"/console/{path}", wait_until="networkidle")
    page.wait_for_timeout(400)  # fonts and charts
    status = answer.status if answer else 0
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    sys.stdout.write(f"{one.name:16} {variant:6} {status}{'' if wide <= 0 else f'  {wide} px too wide'}\n")
    sys.stdout.flush()
    if everything:
        everything.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=everything / f"{one.name}-{variant}.png", full_page=True)
    elif variant in one.shown and status == 200:
        page.screenshot(path=HERE / f"{one.name}-{variant}.png")
    page.close()


if __name__ == "__main__":
    main()
