"""The settings of the installation: every effective value and where it comes from, as ``modelpool config show``."""

from __future__ import annotations

import os
from collections.abc import Iterable

from django.http import HttpResponse
from django.utils.translation import gettext as _

from modelpool import conf
from modelpool.console.pages import Page, operator_page
from modelpool.core.effective import Setting, effective_settings


@operator_page
def settings(page: Page) -> HttpResponse:
    """Show them by section; ``q`` and ``set`` search among them."""
    search = page.request.GET.get("q", "").strip().lower()
    is_set_only = page.request.GET.get("set") == "yes"
    place = conf.home()
    found = [
        setting
        for setting in effective_settings(conf.settings(), origins=conf.origins(place, os.environ))
        if _fits(setting, search) and not (is_set_only and setting.is_default)
    ]
    return page.render(
        "console/operate/settings.html",
        title=_("Settings"),
        sections=_by_section(found),
        search=search,
        is_set_only=is_set_only,
        home=place.path,
        file=place.config_file,
    )


def _fits(setting: Setting, search: str) -> bool:
    """Search in what is shown: never in a secret."""
    return all(word in f"{setting.key} {setting.value} {setting.origin}".lower() for word in search.split())


def _by_section(found: Iterable[Setting]) -> list[tuple[str, list[Setting]]]:
    sections: dict[str, list[Setting]] = {}
    for setting in found:
        sections.setdefault(setting.key.partition(".")[0], []).append(setting)
    return list(sections.items())
