"""The URLs that the OpenAPI document describes."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("api/v1/", include("modelpool.api.v1.urls"))]
