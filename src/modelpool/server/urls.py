"""All of Django's routes: one line per wire."""

from __future__ import annotations

from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path, reverse_lazy
from django.utils.functional import lazy
from django.views.generic import RedirectView

from modelpool.api.v1.routes.docs import DocsView
from modelpool.console.urls import admin_urls

static_lazy = lazy(static, str)

handler400 = "modelpool.http.errors.bad_request"
handler403 = "modelpool.http.errors.permission_denied"
handler404 = "modelpool.http.errors.not_found"
handler500 = "modelpool.http.errors.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include("modelpool.api.v1.urls")),
    path("api/docs", DocsView.as_view(), name="api-docs"),
    path("console/", include("modelpool.console.urls")),
    path("console/", include("modelpool.console.account.urls")),
    path("console/admin/", admin_urls),
    path("", RedirectView.as_view(url=reverse_lazy("console:home")), name="root"),
    path("favicon.ico", RedirectView.as_view(url=static_lazy("console/icon.svg")), name="favicon"),
]
