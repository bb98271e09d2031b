"""``/tenants`` and ``/tenants/{tenant}``."""

from __future__ import annotations

from django.urls import path, reverse
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.tenants import (
    NewTenant,
    TenantChanges,
    TenantDocument,
    changes_of,
    present_tenant_in_full,
    present_tenants,
)
from modelpool.core.errors import PermissionDenied
from modelpool.http.filters import boolean, text
from modelpool.http.idempotent_views import idempotent
from modelpool.http.openapi import describe
from modelpool.http.paging import Listing, paginate
from modelpool.http.views import ApiView, created, no_content
from modelpool.tenants.models import Tenant
from modelpool.tenants.roles import Permission
from modelpool.tenants.services import create_tenant, delete_tenant, update_tenant
from modelpool.training.emptiness import refuse_unless_empty

LISTING = Listing(
    orders={"name": "name", "created_at": "created_at"},
    default="name",
    distinct=("name",),
    filters={"is_active": boolean("is_active"), "store": text("store")},
)
_OF_ADMINS = {"display_name", "default_policy"}


class TenantsView(ApiView):
    """All tenants of the installation."""

    permissions = {"GET": Permission.OPERATE, "POST": Permission.OPERATE}

    @describe("List tenants", tag="tenants", listing=LISTING, page=TenantDocument)
    def get(self, request: Request) -> Response:
        """Return a page."""
        return Response(paginate(self.raw_request, Tenant.objects.all(), listing=LISTING, present=present_tenants))

    @describe("Create a tenant", tag="tenants", body=NewTenant, answer=TenantDocument, status=201, once=True)
    @idempotent
    def post(self, request: Request) -> Response:
        """Create one."""
        fields = changes_of(self.read(NewTenant))
        tenant = create_tenant(fields.pop("name"), actor=self.actor, **fields)
        return created(present_tenant_in_full(tenant), location=reverse("api-v1:tenant", args=[tenant.name]))


class TenantView(ApiView):
    """One tenant; its admins may look and change its name and policy, the rest is the operator's."""

    permissions = {"GET": Permission.VIEW, "PATCH": Permission.ADMINISTER, "DELETE": Permission.OPERATE}

    @describe("Show a tenant", tag="tenants", answer=TenantDocument)
    def get(self, request: Request, tenant: str) -> Response:
        """Return it with the bytes it uses."""
        return Response(present_tenant_in_full(self.tenant))

    @describe("Change a tenant", tag="tenants", body=TenantChanges, answer=TenantDocument)
    def patch(self, request: Request, tenant: str) -> Response:
        """Change what is named; the rest stays."""
        fields = changes_of(self.read(TenantChanges))
        not_theirs = sorted(fields.keys() - _OF_ADMINS)
        if not_theirs and not self.caller.is_operator:
            raise PermissionDenied(f"Only an operator may change {', '.join(not_theirs)} of a tenant.")
        row = update_tenant(self.tenant, actor=self.actor, **fields) if fields else self.tenant
        return Response(present_tenant_in_full(row))

    @describe("Delete a tenant that owns no models and datasets", tag="tenants", status=204)
    def delete(self, request: Request, tenant: str) -> Response:
        """Delete it with its keys and members."""
        delete_tenant(self.tenant, actor=self.actor, check=refuse_unless_empty)
        return no_content()


urlpatterns = [
    path("tenants", TenantsView.as_view(), name="tenants"),
    path("tenants/<str:tenant>", TenantView.as_view(), name="tenant"),
]
