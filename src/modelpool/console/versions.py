"""The page of one version: where it came from, what it takes and gives, its files and figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin import SimpleListFilter
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from unfold.decorators import display

from modelpool.console.scoping import ScopedAdmin, TenantFilter, actor_for, post_action
from modelpool.core.errors import VersionNotFound
from modelpool.http.activating import activate_version
from modelpool.http.downloads import send_artifact
from modelpool.monitoring.querysets import requests_lately, where_loaded
from modelpool.registry import services
from modelpool.registry.models import ModelAlias, ModelVersion
from modelpool.registry.quarantine import release_version
from modelpool.tenants.roles import Permission


class QuarantineFilter(SimpleListFilter):
    """Choose the versions in quarantine, or the others."""

    title = "quarantine"
    parameter_name = "quarantine"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("yes", "in quarantine"), ("no", "free")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Apply the choice."""
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(quarantined_at__isnull=self.value() == "no")


class VersionAdmin(ScopedAdmin):
    """Versions are reached from their model's page."""

    page_template = "console/version.html"
    list_display = ("model", "number", "tenant", "state", "shown_trust", "format", "serving_format", "created_at")
    list_filter = ("state", "trust", QuarantineFilter, "format", TenantFilter)
    search_fields = ("model__name", "tenant__name", "sha256")
    ordering = ("-created_at",)
    list_select_related = ("model", "tenant")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return versions that still have their files."""
        return super().get_queryset(request).select_related("model").exclude(state=ModelVersion.State.DELETED)

    @display(description="Trust", label={"trained": "success", "quarantined": "danger"})
    def shown_trust(self, version: ModelVersion) -> str:
        """Show the level of trust."""
        return version.trust_level

    def page_context(self, request: HttpRequest, obj: ModelVersion) -> dict[str, Any]:
        """Show everything that is known of the version."""
        aliases = ModelAlias.objects.for_tenant(obj.tenant).filter(version=obj).order_by("name")
        return {
            "title": f"{obj.model.name} version {obj.number}",
            "is_active": obj.pk == obj.model.active_version_id,
            "aliases": list(aliases),
            "metrics": sorted(obj.metrics.items()),
            "params": sorted((name, value) for name, value in obj.params.items() if value is not None),
            "figures": [(name, json.dumps(data, indent=2)[:20000]) for name, data in sorted(obj.figures.items())],
            "importance": _importance(obj),
            "loaded": where_loaded([obj])[obj.pk],
            "requests_lately": requests_lately(obj),
        }

    def page_actions(self) -> dict[str, Callable[..., HttpResponseBase]]:
        """What the buttons of the page do."""
        return {
            "activate": self.activate,
            "release": self.release,
            "download": self.download,
            "alias": self.set_alias,
            "remove": self.remove,
        }

    @post_action(Permission.DEVELOP)
    def activate(self, request: HttpRequest, version: ModelVersion) -> HttpResponse:
        """Make it the version that answers."""
        activate_version(version.model, number=version.number, actor=actor_for(request))
        messages.success(request, f"Version {version.number} is active.")
        return redirect("console:model", tenant=version.tenant.name, model=version.model.name)

    @post_action(Permission.ADMINISTER)
    def release(self, request: HttpRequest, version: ModelVersion) -> None:
        """Let it out of quarantine, when it is what its maker signed."""
        release_version(version.model, number=version.number, actor=actor_for(request))
        messages.success(request, f"Version {version.number} is released from quarantine.")

    @post_action(Permission.DEVELOP)
    def set_alias(self, request: HttpRequest, version: ModelVersion) -> None:
        """Give the version a movable name."""
        name = request.POST.get("alias", "")
        services.set_alias(version.model, name=name, number=version.number, actor=actor_for(request))
        messages.success(request, f"{name} now names version {version.number}.")

    @post_action(Permission.DEVELOP)
    def download(self, request: HttpRequest, version: ModelVersion) -> HttpResponseBase:
        """Send the file, by POST so that it is never fetched by a link on another site."""
        artifact = version.compiled if request.POST.get("artifact") == "compiled" else version.artifact
        if artifact is None:
            raise VersionNotFound(version.model.name, version.number)
        return send_artifact(request, artifact, filename=artifact.filename or f"{version.model.name}-{version.number}")

    @post_action(Permission.DEVELOP)
    def remove(self, request: HttpRequest, version: ModelVersion) -> HttpResponse:
        """Delete the version's files; its number is never used again."""
        services.delete_version(version, actor=actor_for(request))
        messages.success(request, f"Version {version.number} of {version.model.name} is deleted.")
        return redirect("console:model", tenant=version.tenant.name, model=version.model.name)


def _importance(version: ModelVersion) -> list[tuple[str, float, int]]:
    """Return the features by importance with the width, in percent, of a bar that is longest for the first."""
    figure = version.figures.get("feature_importance") or {}
    pairs = list(zip(figure.get("features", []), figure.get("importances", []), strict=False))[:20]
    largest = max((abs(value) for _, value in pairs), default=0.0) or 1.0
    return [(name, value, round(100 * abs(value) / largest)) for name, value in pairs]
