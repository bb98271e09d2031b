"""The console's look and its sidebar: ``settings.UNFOLD``. Read with the settings, so it imports no table."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.functional import lazy

_ADMINISTERS = "modelpool.console.scoping.administers"
_OPERATES = "modelpool.console.scoping.operates"
_static = lazy(static, str)


def _item(title: str, icon: str, page: str, permission: str | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{page}")}
    return item if permission is None else {**item, "permission": permission}


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
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    _item("Home", "home", "index"),
                    _item("Models", "deployed_code", "registry_registeredmodel_changelist"),
                    _item("Jobs", "model_training", "training_trainingjob_changelist"),
                    _item("Datasets", "table", "training_dataset_changelist"),
                ],
            },
            {
                "title": "Administration",
                "separator": True,
                "items": [
                    _item("Tenants", "apartment", "tenants_tenant_changelist", _ADMINISTERS),
                    _item("Members", "group", "tenants_member_changelist", _ADMINISTERS),
                    _item("Keys", "key", "tenants_apikey_changelist", _ADMINISTERS),
                    _item("People", "person", "tenants_user_changelist", _OPERATES),
                    _item("Loaded models", "memory", "loaded", _OPERATES),
                    _item("Audit", "history", "tenants_auditevent_changelist", _ADMINISTERS),
                ],
            },
        ],
    },
}
