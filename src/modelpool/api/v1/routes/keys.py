"""``/tenants/{tenant}/keys`` and, for the installation's own, ``/keys``."""

from __future__ import annotations

from uuid import UUID

from django.urls import path, reverse
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.keys import (
    CreatedKeyDocument,
    KeyDocument,
    NewKey,
    NewOperatorKey,
    present_key,
    present_keys,
    present_new_key,
)
from modelpool.core.errors import KeyNotFound
from modelpool.http.filters import boolean, one_of
from modelpool.http.idempotent_views import idempotent
from modelpool.http.openapi import describe
from modelpool.http.paging import Listing, paginate
from modelpool.http.views import ApiView, created, no_content
from modelpool.tenants.models import APIKey, Tenant
from modelpool.tenants.roles import TENANT_ROLES, Permission
from modelpool.tenants.services import create_key, keys_of, revoke_key

LISTING = Listing(
    orders={"created_at": "created_at"},
    default="-created_at",
    filters={"role": one_of("role", [role.value for role in TENANT_ROLES]), "active": boolean("revoked_at__isnull")},
)


class _KeysView(ApiView):
    """Keys of a tenant, or of nobody: then they are the installation's."""

    @property
    def owner(self) -> Tenant | None:
        """The tenant in the path."""
        return self.tenant if "tenant" in self.kwargs else None

    @property
    def owner_name(self) -> str | None:
        """Its name."""
        return self.owner.name if self.owner else None

    def list(self) -> Response:
        """Return a page."""

        def present(rows: list[APIKey]) -> list[KeyDocument]:
            return present_keys(rows, tenant=self.owner_name)

        return Response(paginate(self.raw_request, keys_of(self.owner), listing=LISTING, present=present))

    def make(self, body: NewKey | NewOperatorKey, *, address: str) -> Response:
        """Create a key and show its secret."""
        key, secret = create_key(
            tenant=self.owner, role=body.role, actor=self.actor, name=body.name, expires_in_days=body.expires_in_days
        )
        location = reverse(address, kwargs={**self.kwargs, "key": key.pk})
        return created(present_new_key(key, tenant=self.owner_name, secret=secret), location=location)

    def show(self, key_id: UUID) -> Response:
        """Return one key."""
        key = keys_of(self.owner).filter(pk=key_id).first()
        if key is None:
            raise KeyNotFound(str(key_id))
        return Response(present_key(key, tenant=self.owner_name))

    def revoke(self, key_id: UUID) -> Response:
        """Revoke it: it stays in the list, and opens nothing from now on."""
        revoke_key(key_id, tenant=self.owner, actor=self.actor)
        return no_content()


class KeysView(_KeysView):
    """The keys of a tenant."""

    permissions = {"GET": Permission.ADMINISTER, "POST": Permission.ADMINISTER}

    @describe("List keys", tag="keys", listing=LISTING, page=KeyDocument)
    def get(self, request: Request, tenant: str) -> Response:
        """Return a page."""
        return self.list()

    @describe(
        "Create a key; its secret is shown once",
        tag="keys",
        body=NewKey,
        answer=CreatedKeyDocument,
        status=201,
        once=True,
    )
    @idempotent
    def post(self, request: Request, tenant: str) -> Response:
        """Create one."""
        return self.make(self.read(NewKey), address="api-v1:key")


class KeyView(_KeysView):
    """One key of a tenant."""

    permissions = {"GET": Permission.ADMINISTER, "DELETE": Permission.ADMINISTER}

    @describe("Show a key", tag="keys", answer=KeyDocument)
    def get(self, request: Request, tenant: str, key: UUID) -> Response:
        """Return it without its secret."""
        return self.show(key)

    @describe("Revoke a key", tag="keys", status=204)
    def delete(self, request: Request, tenant: str, key: UUID) -> Response:
        """Revoke it."""
        return self.revoke(key)


class OperatorKeysView(_KeysView):
    """The keys of the installation."""

    permissions = {"GET": Permission.OPERATE, "POST": Permission.OPERATE}

    @describe("List operators' keys", tag="keys", listing=LISTING, page=KeyDocument)
    def get(self, request: Request) -> Response:
        """Return a page."""
        return self.list()

    @describe(
        "Create an operator's key", tag="keys", body=NewOperatorKey, answer=CreatedKeyDocument, status=201, once=True
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Create one."""
        return self.make(self.read(NewOperatorKey), address="api-v1:operator-key")


class OperatorKeyView(_KeysView):
    """One key of the installation."""

    permissions = {"GET": Permission.OPERATE, "DELETE": Permission.OPERATE}

    @describe("Show an operator's key", tag="keys", answer=KeyDocument)
    def get(self, request: Request, key: UUID) -> Response:
        """Return it without its secret."""
        return self.show(key)

    @describe("Revoke an operator's key", tag="keys", status=204)
    def delete(self, request: Request, key: UUID) -> Response:
        """Revoke it."""
        return self.revoke(key)


urlpatterns = [
    path("tenants/<str:tenant>/keys", KeysView.as_view(), name="keys"),
    path("tenants/<str:tenant>/keys/<id:key>", KeyView.as_view(), name="key"),
    path("keys", OperatorKeysView.as_view(), name="operator-keys"),
    path("keys/<id:key>", OperatorKeyView.as_view(), name="operator-key"),
]
