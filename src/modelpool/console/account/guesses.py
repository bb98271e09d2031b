"""How wrong passwords and codes are counted: by django-allauth, in the cache that all processes share."""

from __future__ import annotations

from allauth.account import app_settings
from allauth.core.internal.ratelimit import get_cache_key, parse_rates
from django.core.cache import cache

from modelpool.tenants.models import User


def key_of(username: str) -> str:
    """Return under what the wrong passwords of a name are counted, whether there is one of that name or not."""
    return f"name:{username.strip().casefold()}"


def forget(user: User) -> None:
    """Let a person try again at once; what an address has tried stays counted, for that minute."""
    rates = [rate for rate in parse_rates(app_settings.RATE_LIMITS["login_failed"]) if rate.per == "key"]
    for rate in rates:
        for key in (key_of(user.username), f"mfa-auth-user-{user.pk}"):
            cache.delete(get_cache_key(None, app="allauth.account", action="login_failed", rate=rate, key=key))
