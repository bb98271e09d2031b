"""How a model's predictions are divided among its versions: ``…/traffic`` and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.urls import path
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.traffic import TrafficChange, TrafficDocument, present_rule
from modelpool.api.v1.routes.models import OfModel
from modelpool.core.errors import InvalidField
from modelpool.http.activating import set_traffic
from modelpool.http.filters import parse_moment
from modelpool.http.openapi import describe
from modelpool.http.views import no_content
from modelpool.monitoring.traffic import TrafficReport, traffic_report
from modelpool.registry import services
from modelpool.tenants.roles import Permission

T = TypeVar("T")

_A_RULE = "the id of a rule"
_A_MOMENT = "a time with its zone, such as 2026-01-31T12:00:00Z"
_QUERY = [
    OpenApiParameter("since", datetime, description="Begin with the hour of this moment."),
    OpenApiParameter("rule", UUID, description="The `id` of an earlier rule; by default that of the one in force."),
]


class TrafficView(OfModel):
    """The rule of one model."""

    permissions = {"GET": Permission.VIEW, "PUT": Permission.DEVELOP, "DELETE": Permission.DEVELOP}

    @describe("Show how predictions are divided", tag="traffic", answer=TrafficDocument)
    def get(self, request: Request, tenant: str, model: str) -> Response:
        """Return the rule; 404 where the active version answers everything."""
        return Response(present_rule(services.traffic_of(self.model)))

    @describe("Divide predictions among versions", tag="traffic", body=TrafficChange, answer=TrafficDocument)
    def put(self, request: Request, tenant: str, model: str) -> Response:
        """Let the rule take the place of the one there is; 409 with the reason where a version cannot serve."""
        body = self.read(TrafficChange)
        rule = set_traffic(self.model, rule=body.to_rule(), actor=self.actor, force=body.force)
        return Response(present_rule(rule))

    @describe("Let the active version answer everything", tag="traffic", status=204)
    def delete(self, request: Request, tenant: str, model: str) -> Response:
        """End the rule; its figures stay, under its id."""
        services.end_traffic(self.model, actor=self.actor)
        return no_content()


class TrafficReportView(OfModel):
    """How the versions do side by side."""

    permissions = {"GET": Permission.VIEW}

    @describe("Compare versions that answer side by side", tag="traffic", answer=TrafficReport, parameters=_QUERY)
    def get(self, request: Request, tenant: str, model: str) -> Response:
        """Return requests, errors and latencies, and how far a shadow's answers differ."""
        query = request.query_params
        for name in query.keys() - {"since", "rule"}:
            raise InvalidField(name[:80], "is not a parameter here; known are since, rule.", code="unknown_field")
        row = self.model
        asked = query.get("rule")
        rule = UUID(services.traffic_of(row).id) if asked is None else _parse("rule", asked, UUID, what=_A_RULE)
        since = query.get("since")
        moment = None if since is None else _parse("since", since, parse_moment, what=_A_MOMENT)
        return Response(traffic_report(row, rule=rule, since=moment))


def _parse(name: str, text: str, parse: Callable[[str], T], *, what: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidField(name, f"{text[:80]!r} is not {what}.") from error


_MODEL = "tenants/<str:tenant>/models/<str:model>"
urlpatterns = [
    path(f"{_MODEL}/traffic", TrafficView.as_view(), name="traffic"),
    path(f"{_MODEL}/traffic/report", TrafficReportView.as_view(), name="traffic-report"),
]
