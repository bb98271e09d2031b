"""``…/predict``: what reaches Django of it, which is what browsers' sessions send; keys are answered in front of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpResponse
from django.urls import path
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from modelpool import conf
from modelpool.api.v1.documents.predictions import PredictionDocument, PredictRequest
from modelpool.core.errors import Malformed, TooLarge
from modelpool.http.bodies import require_length
from modelpool.http.idempotent_views import repeatable
from modelpool.http.openapi import BINARY, describe
from modelpool.http.predicting import predict
from modelpool.http.views import ApiView
from modelpool.inference.requests import method_of_query
from modelpool.inference.resolution.lookup import Selector
from modelpool.tenants.roles import Permission

F = TypeVar("F", bound=Callable[..., Any])

_METHOD = OpenApiParameter("method", str, description="As `params.method` of a JSON body; for the others.")
_BODY: dict[str, Any] = {
    "application/json": PredictRequest,
    "text/csv": {"type": "string"},
    "application/vnd.apache.arrow.stream": BINARY,
    "application/vnd.apache.parquet": BINARY,
}


def _describe(summary: str) -> Callable[[F], F]:
    return describe(summary, tag="predict", body=_BODY, answer=PredictionDocument, parameters=[_METHOD])


class _PredictView(ApiView):
    permissions = {"POST": Permission.PREDICT}

    def predict(self, model: str, selector: Selector) -> HttpResponse:
        """Answer by the same data plane as the fast lane."""
        request = self.raw_request
        limit_bytes = int(conf.settings().serving.max_body)
        length = require_length(request)
        if length > limit_bytes:
            raise TooLarge(limit_bytes)
        body = request.read(length)
        if len(body) != length:
            raise Malformed("The body ended before its declared length.")
        answer, route = predict(
            self.tenant,
            model=model,
            selector=selector,
            body=body,
            content_type=request.META.get("CONTENT_TYPE", "").encode("latin-1"),
            method=method_of_query(request.META.get("QUERY_STRING", "").encode("latin-1")),
            headers={name.lower().encode("latin-1"): text.encode("latin-1") for name, text in request.headers.items()},
            is_operator=self.caller.is_operator,
        )
        said = {name.decode(): text.decode() for name, text in route.headers}
        return HttpResponse(answer, content_type="application/json", headers=said)


class PredictView(_PredictView):
    """The active version."""

    @_describe("Predict with the active version")
    @repeatable
    def post(self, request: Request, tenant: str, model: str) -> HttpResponse:
        """Answer for rows or a whole table."""
        return self.predict(model, None)


class PredictVersionView(_PredictView):
    """One version."""

    @_describe("Predict with a version")
    @repeatable
    def post(self, request: Request, tenant: str, model: str, number: int) -> HttpResponse:
        """Answer for rows or a whole table."""
        return self.predict(model, number)


class PredictAliasView(_PredictView):
    """The version that an alias names."""

    @_describe("Predict with an alias's version")
    @repeatable
    def post(self, request: Request, tenant: str, model: str, alias: str) -> HttpResponse:
        """Answer for rows or a whole table."""
        return self.predict(model, alias)


_MODEL = "tenants/<str:tenant>/models/<str:model>"
urlpatterns = [
    path(f"{_MODEL}/predict", PredictView.as_view(), name="predict"),
    path(f"{_MODEL}/versions/<number:number>/predict", PredictVersionView.as_view(), name="predict-version"),
    path(f"{_MODEL}/aliases/<str:alias>/predict", PredictAliasView.as_view(), name="predict-alias"),
]
