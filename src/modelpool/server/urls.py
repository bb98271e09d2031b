"""All of Django's routes: one line per wire."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from modelpool.api.v1.routes.docs import DocsView
from modelpool.console.site import site

handler400 = "modelpool.http.errors.bad_request"
handler403 = "modelpool.http.errors.permission_denied"
handler404 = "modelpool.http.errors.not_found"
handler500 = "modelpool.http.errors.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/v1/", include("modelpool.api.v1.urls")),
    path("api/docs", DocsView.as_view(), name="api-docs"),
    path("console/", site.urls),
]
