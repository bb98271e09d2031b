"""``/tenants/{tenant}/models`` and the model itself."""

from __future__ import annotations

from typing import cast

from django.urls import path, reverse
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.models import ModelChanges, ModelDocument, NewModel, present_model, present_models
from modelpool.api.v1.documents.tenants import changes_of
from modelpool.http.filters import boolean, by_tag, text
from modelpool.http.idempotent_views import idempotent
from modelpool.http.openapi import describe
from modelpool.http.paging import Listing, paginate
from modelpool.http.views import ApiView, created, no_content
from modelpool.registry.models import RegisteredModel
from modelpool.registry.querysets import as_listed, models_of
from modelpool.registry.services import create_model, delete_model, get_model, update_model
from modelpool.tenants.roles import Permission

LISTING = Listing(
    orders={"name": "name", "created_at": "created_at", "updated_at": "updated_at"},
    default="name",
    distinct=("name",),
    filters={"name": text("name"), "prefix": text("name__startswith"), "unserved": boolean("active_version__isnull")},
    prefix_filters={"tags": by_tag},
)


class ModelsView(ApiView):
    """The models of a tenant."""

    permissions = {"GET": Permission.VIEW, "POST": Permission.DEVELOP}

    @describe("List models", tag="models", listing=LISTING, page=ModelDocument)
    def get(self, request: Request, tenant: str) -> Response:
        """Return a page."""
        rows = as_listed(models_of(self.tenant), "active_version", "number")
        return Response(paginate(self.raw_request, rows, listing=LISTING, present=present_models))

    @describe(
        "Create a model without versions", tag="models", body=NewModel, answer=ModelDocument, status=201, once=True
    )
    @idempotent
    def post(self, request: Request, tenant: str) -> Response:
        """Create one; training and the first upload create it as well."""
        body = self.read(NewModel)
        model = create_model(
            self.tenant,
            name=body.name,
            actor=self.actor,
            description=body.description,
            policy=body.policy,
            store=body.store,
            tags=body.tags,
        )
        location = reverse("api-v1:model", args=[self.tenant.name, model.name])
        return created(present_model(model), location=location)


class OfModel(ApiView):
    """The base of every address below a model."""

    @property
    def model(self) -> RegisteredModel:
        """The model in the path, fresh from the database."""
        return get_model(self.tenant, cast(str, self.kwargs["model"]))


class ModelView(OfModel):
    """One model."""

    permissions = {"GET": Permission.VIEW, "PATCH": Permission.DEVELOP, "DELETE": Permission.DEVELOP}

    @describe("Show a model", tag="models", answer=ModelDocument)
    def get(self, request: Request, tenant: str, model: str) -> Response:
        """Return it with its active version and aliases."""
        return Response(present_model(self.model))

    @describe("Change a model", tag="models", body=ModelChanges, answer=ModelDocument)
    def patch(self, request: Request, tenant: str, model: str) -> Response:
        """Change what is named; the rest stays."""
        changes = changes_of(self.read(ModelChanges))
        row = update_model(self.model, actor=self.actor, **changes)
        return Response(present_model(row))

    @describe("Delete a model with all its versions", tag="models", status=204)
    def delete(self, request: Request, tenant: str, model: str) -> Response:
        """Delete it; its name is free again, its files go."""
        delete_model(self.model, actor=self.actor)
        return no_content()


urlpatterns = [
    path("tenants/<str:tenant>/models", ModelsView.as_view(), name="models"),
    path("tenants/<str:tenant>/models/<str:model>", ModelView.as_view(), name="model"),
]
