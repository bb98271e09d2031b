"""Which version may answer: ``…/activate``, ``…/release``, ``…/rollback`` and ``…/aliases/{alias}``."""

from __future__ import annotations

from django.urls import path
from msgspec import UNSET
from rest_framework.request import Request
from rest_framework.response import Response

from modelpool.api.v1.documents.models import AliasDocument, AliasTarget, BestOfPool, Expectation
from modelpool.api.v1.documents.versions import VersionDocument, present_version
from modelpool.api.v1.routes.models import OfModel
from modelpool.core.errors import AliasNotFound
from modelpool.http import activating
from modelpool.http.idempotent_views import idempotent
from modelpool.http.openapi import describe
from modelpool.http.views import no_content
from modelpool.registry import services
from modelpool.registry.models import ModelAlias, ModelVersion
from modelpool.registry.quarantine import release_version
from modelpool.tenants.roles import Permission


class _Activating(OfModel):
    def answer(self, version: ModelVersion) -> Response:
        """Return the version as it is now."""
        return Response(present_version(services.get_version(self.model, version.number)))


class ActivateVersionView(_Activating):
    """Make one version the active one."""

    permissions = {"POST": Permission.DEVELOP}

    @describe("Activate a version", tag="activation", body=Expectation, answer=VersionDocument, once=True)
    @idempotent
    def post(self, request: Request, tenant: str, model: str, number: int) -> Response:
        """Move the pointer; 409 when ``expected`` is given and no longer true, or the version cannot serve."""
        sent = self.read(Expectation).expected
        expected = services.UNSET if sent is UNSET else sent
        return self.answer(activating.activate_version(self.model, number=number, actor=self.actor, expected=expected))


class ReleaseVersionView(_Activating):
    """Let a version out of quarantine."""

    permissions = {"POST": Permission.ADMINISTER}

    @describe("Release a version from quarantine", tag="activation", answer=VersionDocument, once=True)
    @idempotent
    def post(self, request: Request, tenant: str, model: str, number: int) -> Response:
        """Let it answer again; 409 while it is not what its maker signed."""
        return self.answer(release_version(self.model, number=number, actor=self.actor))


class ActivateBestView(_Activating):
    """Make the best version of the pool the active one."""

    permissions = {"POST": Permission.DEVELOP}

    @describe(
        "Activate the best version by a metric", tag="activation", body=BestOfPool, answer=VersionDocument, once=True
    )
    @idempotent
    def post(self, request: Request, tenant: str, model: str) -> Response:
        """Choose among the ready versions; of equals the active one stays."""
        body = self.read(BestOfPool)
        return self.answer(activating.activate_best(self.model, actor=self.actor, by=body.by, mode=body.mode))


class RollBackView(_Activating):
    """Return to the version that was active before."""

    permissions = {"POST": Permission.DEVELOP}

    @describe("Roll back to the version before", tag="activation", answer=VersionDocument, once=True)
    @idempotent
    def post(self, request: Request, tenant: str, model: str) -> Response:
        """Walk one step back in the history; again walks further."""
        return self.answer(activating.roll_back(self.model, actor=self.actor))


class AliasView(OfModel):
    """One alias."""

    permissions = {"GET": Permission.VIEW, "PUT": Permission.DEVELOP, "DELETE": Permission.DEVELOP}

    @describe("Show an alias", tag="activation", answer=AliasDocument)
    def get(self, request: Request, tenant: str, model: str, alias: str) -> Response:
        """Return the number it names."""
        rows = ModelAlias.objects.for_tenant(self.tenant).filter(model=self.model, name=alias)
        number = rows.values_list("version__number", flat=True).first()
        if number is None:
            raise AliasNotFound(model, alias[:63])
        return Response(AliasDocument(name=alias, version=number))

    @describe("Set an alias", tag="activation", body=AliasTarget, answer=AliasDocument)
    def put(self, request: Request, tenant: str, model: str, alias: str) -> Response:
        """Create it or move it."""
        number = self.read(AliasTarget).version
        row = services.set_alias(self.model, name=alias, number=number, actor=self.actor)
        return Response(AliasDocument(name=row.name, version=number))

    @describe("Delete an alias", tag="activation", status=204)
    def delete(self, request: Request, tenant: str, model: str, alias: str) -> Response:
        """Delete the name; the version stays."""
        services.delete_alias(self.model, name=alias, actor=self.actor)
        return no_content()


_MODEL = "tenants/<str:tenant>/models/<str:model>"
urlpatterns = [
    path(f"{_MODEL}/versions/<number:number>/activate", ActivateVersionView.as_view(), name="activate-version"),
    path(f"{_MODEL}/versions/<number:number>/release", ReleaseVersionView.as_view(), name="release-version"),
    path(f"{_MODEL}/activate", ActivateBestView.as_view(), name="activate-best"),
    path(f"{_MODEL}/rollback", RollBackView.as_view(), name="rollback"),
    path(f"{_MODEL}/aliases/<str:alias>", AliasView.as_view(), name="alias"),
]
