"""System checks: a route that declares no permission keeps the server from starting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error
from django.urls import URLPattern, URLResolver, get_resolver

from modelpool.http.views import ApiView
from modelpool.tenants.roles import Permission

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
GATED_PREFIXES = ("api/", "tenants/", "v2/")
"""Where every route must be an :class:`~modelpool.http.views.ApiView`; console and static files guard themselves."""


def check_permissions_are_declared(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report routes without a gate, and methods without a permission."""
    return [message for path, view in walk_routes() for message in _check_route(path, view)]


def walk_routes(prefix: str = "", patterns: Any = None) -> Iterator[tuple[str, Any]]:
    """Yield the path, as it stands in the URL configuration, and the view class (or function) of every gated route."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk_routes(path, pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and path.startswith(GATED_PREFIXES):
            yield path, getattr(pattern.callback, "cls", pattern.callback)


def _check_route(path: str, view: Any) -> list[CheckMessage]:
    if not (isinstance(view, type) and issubclass(view, ApiView)):
        return [Error(f"{path} is not an ApiView.", id="modelpool.http.E001", hint="Nothing would check the key.")]
    answered = {method for method in METHODS if hasattr(view, method.lower())}
    declared = {method for method, permission in view.permissions.items() if isinstance(permission, Permission)}
    if not answered or answered != declared:
        hint = f"It answers {sorted(answered)} and declares {sorted(declared)}."
        return [
            Error(
                f"{path}: {view.__name__} must declare one permission per method.", id="modelpool.http.E002", hint=hint
            )
        ]
    tenants = {Permission.VIEW, Permission.PREDICT, Permission.DEVELOP, Permission.ADMINISTER}
    if "<" in path and ":tenant>" not in path and tenants & set(view.permissions.values()):
        return [Error(f"{path} needs a role in a tenant but names none.", id="modelpool.http.E003")]
    return []
