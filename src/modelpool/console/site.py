"""The console's site: who may enter, and what stands around every page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.generic import RedirectView
from unfold.sites import UnfoldAdminSite

from modelpool.console.navigation import navigation
from modelpool.console.scoping import may_somewhere
from modelpool.http import second_factor
from modelpool.tenants.roles import Permission

Routed = Callable[..., HttpResponseBase]


class ConsoleSite(UnfoldAdminSite):
    """Operators, and members of at least one tenant that is not suspended."""

    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Let in whoever may look at one tenant at least."""
        return may_somewhere(request, Permission.VIEW)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the frame shows; the navigation depends on the tenant of the page."""
        return {**super().each_context(request), **navigation(request)}

    def admin_view(self, view: Routed, cacheable: bool = False) -> Routed:
        """Let in who has a role somewhere; strangers are asked to sign in, and nothing is kept by browsers."""

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if self.has_permission(request):
                if second_factor.is_missing(request):
                    return _whole(request, redirect("mfa_activate_totp"))
                return view(request, *args, **kwargs)
            if request.user.is_authenticated:
                raise PermissionDenied
            return _whole(request, redirect_to_login(request.get_full_path()))

        protected = csrf_protect(guarded)
        return protected if cacheable else never_cache(protected)

    def get_urls(self) -> list[Any]:
        """Return the one address that unfold's frame leads to; the pages, and signing in, are the console's own."""
        return [path("", RedirectView.as_view(pattern_name="console:home"), name="index")]


def _whole(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Lead a whole page on; one of which a part is asked for is loaded anew first: ``static/console/page.js``."""
    return HttpResponse(status=401) if request.headers.get("HX-Request") == "true" else response


site = ConsoleSite(name="admin")
