"""The console's look: ``settings.UNFOLD``. Read with the settings, so it imports no table."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.utils.functional import lazy

_static = lazy(static, str)

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Modelpool",
    "SITE_HEADER": "Modelpool",
    "SITE_SUBHEADER": "train · keep · serve",
    "SITE_SYMBOL": "deployed_code",
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "8px",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _static("console/icon.svg")}],
    "STYLES": [_static("console/console.css"), _static("console/frame.css")],
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": []},
}
