"""``/api/v1/openapi.json`` and ``/api/docs``: what there is, for programs and for people; both are public."""

from __future__ import annotations

from functools import lru_cache

from django.http import HttpResponse
from django.templatetags.static import static
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from modelpool.api.v1.schema import schema_as_json
from modelpool.http.views import ApiView
from modelpool.tenants.roles import Permission

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_UI = "drf_spectacular_sidecar/swagger-ui-dist"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Modelpool API</title>
<link rel="icon" href="{icon}">
<link rel="stylesheet" href="{style}">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{bundle}"></script>
<script src="{start}"></script>
</body>
</html>
"""


class SchemaView(ApiView):
    """The description of this API."""

    permissions = {"GET": Permission.PUBLIC}

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Return OpenAPI 3.1; made once in a process."""
        return HttpResponse(_schema(), content_type="application/json")


class DocsView(ApiView):
    """The same for people: Swagger UI, from this server alone."""

    permissions = {"GET": Permission.PUBLIC}

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Return the page; nothing in it comes from elsewhere."""
        page = _PAGE.format(
            icon=static(f"{_UI}/favicon-32x32.png"),
            style=static(f"{_UI}/swagger-ui.css"),
            bundle=static(f"{_UI}/swagger-ui-bundle.js"),
            start=static("modelpool/api-docs.js"),
        )
        return HttpResponse(page, headers={"Content-Security-Policy": _CSP})


@lru_cache(maxsize=1)
def _schema() -> bytes:
    return schema_as_json()


urlpatterns = [
    path("openapi.json", SchemaView.as_view(), name="openapi"),
]
