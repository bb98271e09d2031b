"""The console's site: who may enter, and which pages there are."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import path
from unfold.sites import UnfoldAdminSite

from modelpool.console.datasets import DatasetAdmin
from modelpool.console.home import home_context
from modelpool.console.jobs import JobAdmin
from modelpool.console.loaded import loaded_context
from modelpool.console.people import AuditAdmin, KeyAdmin, MemberAdmin, TenantAdmin, UserAdmin
from modelpool.console.pools import ModelPoolAdmin
from modelpool.console.scoping import may_somewhere, operates
from modelpool.console.versions import VersionAdmin
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.tenants.models import APIKey, AuditEvent, Member, Tenant, User
from modelpool.tenants.roles import Permission
from modelpool.training.models import Dataset, TrainingJob


class ConsoleSite(UnfoldAdminSite):
    """Operators, and members of at least one tenant that is not suspended."""

    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Let in whoever may look at one tenant at least."""
        return may_somewhere(request, Permission.VIEW)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the home page: what is active, what runs, what failed."""
        context = {**self.each_context(request), "title": "Home", **home_context(request), **(extra_context or {})}
        return TemplateResponse(request, "console/home.html", context)

    def get_urls(self) -> list[Any]:
        """Add the pages that are not about one table."""
        return [path("loaded/", self.admin_view(self.loaded), name="loaded"), *super().get_urls()]

    def loaded(self, request: HttpRequest) -> TemplateResponse:
        """Show operators what is loaded where."""
        if not operates(request):
            raise PermissionDenied
        return TemplateResponse(request, "console/loaded.html", {**self.each_context(request), **loaded_context()})


site = ConsoleSite(name="admin")
site.register(RegisteredModel, ModelPoolAdmin)
site.register(ModelVersion, VersionAdmin)
site.register(TrainingJob, JobAdmin)
site.register(Dataset, DatasetAdmin)
site.register(Tenant, TenantAdmin)
site.register(Member, MemberAdmin)
site.register(APIKey, KeyAdmin)
site.register(User, UserAdmin)
site.register(AuditEvent, AuditAdmin)
