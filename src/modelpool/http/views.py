"""The base of every REST view: who, which tenant, which permission, then a method of about fifteen lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, cast

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from modelpool import conf
from modelpool.http.authentication import KeyOrSession
from modelpool.http.bodies import Body, read_json
from modelpool.http.caller import Caller
from modelpool.http.permissions import authorise, needed_permission
from modelpool.http.rendering import AlwaysJSON, JSONRenderer
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.tenants.roles import Permission

B = TypeVar("B", bound=Body)


class ApiView(APIView):
    """One address. ``permissions`` says for each method what it needs; a method that is not there is not answered.

    When a method runs, ``caller`` is who sent the request and, where the path names a tenant, ``tenant`` its row.
    """

    permissions: ClassVar[Mapping[str, Permission]] = {}
    authentication_classes = (KeyOrSession,)
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    parser_classes = ()
    content_negotiation_class = AlwaysJSON

    caller: Caller
    tenant: Tenant

    @property
    def actor(self) -> Actor:
        """Whom the audit trail names."""
        return self.caller.actor(getattr(self.raw_request, "request_id", ""))

    @property
    def raw_request(self) -> HttpRequest:
        """Django's own request, whose body has not been touched."""
        request = self.request
        return cast(HttpRequest, getattr(request, "_request", request))

    def read(self, kind: type[B]) -> B:
        """Return the checked JSON body."""
        return read_json(self.raw_request, kind, limit_bytes=int(conf.settings().limits.max_json))

    def perform_authentication(self, request: Request) -> None:
        """Do not even look at the credentials of a public route."""
        if needed_permission(self, request.method or "") is not Permission.PUBLIC:
            super().perform_authentication(request)

    def check_permissions(self, request: Request) -> None:
        """Let in or raise; see :func:`~modelpool.http.permissions.authorise`."""
        authorise(self, request)

    def options(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # type: ignore[override]
        """Answer with the header ``Allow`` alone."""
        return Response(status=204)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep every cache from keeping answers that depend on who asks."""
        final = super().finalize_response(request, response, *args, **kwargs)
        final.headers.setdefault("Cache-Control", "no-store")
        return final


def created(document: Any, *, location: str) -> Response:
    """Return 201 with the new thing and its address."""
    return Response(document, status=201, headers={"Location": location})


def no_content() -> Response:
    """Return 204."""
    return Response(status=204)
