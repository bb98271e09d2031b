"""The providers of single sign-on, from Modelpool's settings to django-allauth's. Imports no table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelpool.conf import ProviderSettings


def provider_apps(providers: Mapping[str, ProviderSettings]) -> list[dict[str, Any]]:
    """Return ``SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"]``."""
    return [
        {
            "provider_id": name,
            "name": provider.label or name,
            "client_id": provider.client_id,
            "secret": provider.client_secret,
            "settings": {
                "server_url": provider.issuer.rstrip("/"),
                "scope": list(provider.scopes),
                "fetch_userinfo": provider.fetch_userinfo,
            },
        }
        for name, provider in providers.items()
    ]
