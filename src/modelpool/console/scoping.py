"""The base of every page: a person sees their tenants' rows, and changes things by POST through services only."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin

from modelpool.core.errors import ModelpoolError
from modelpool.tenants.actors import Actor
from modelpool.tenants.membership import actor_of, person_may, roles_anywhere, tenants_where
from modelpool.tenants.models import Tenant, User
from modelpool.tenants.roles import Permission, role_allows

_MOST_TENANTS = 50
_FILTERED_BY = ("", "exact", "in", "isnull")

PageAction = Callable[[Any, HttpRequest, Any], HttpResponseBase | None]


def signed_in(request: HttpRequest) -> User:
    """Return the person; the site lets nobody else in."""
    return cast(User, request.user)


def actor_for(request: HttpRequest) -> Actor:
    """Return whom the audit trail names for this request."""
    return actor_of(signed_in(request), request_id=getattr(request, "request_id", ""))


def may_somewhere(request: HttpRequest, permission: Permission) -> bool:
    """Say whether the person has the permission in any tenant; asked often, looked up once a request."""
    roles: frozenset[str] | None = getattr(request, "_roles_anywhere", None)
    if roles is None:
        roles = roles_anywhere(request.user)
        request._roles_anywhere = roles  # type: ignore[attr-defined]
    return any(role_allows(role, permission) for role in roles)


def administers(request: HttpRequest) -> bool:
    """Say whether the person administers a tenant."""
    return may_somewhere(request, Permission.ADMINISTER)


def operates(request: HttpRequest) -> bool:
    """Say whether the person runs the installation."""
    return isinstance(request.user, User) and request.user.is_operator


class TenantFilter(SimpleListFilter):
    """Offers the person's own tenants, never others' names; with very many of them, search instead."""

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the names of the person's tenants, or nothing when they are too many to choose from."""
        names = tenants_where(signed_in(request), Permission.VIEW).values_list("name", flat=True)[: _MOST_TENANTS + 1]
        return [] if len(names) > _MOST_TENANTS else [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the chosen tenant's rows of those that the person sees."""
        return queryset.filter(tenant__name=self.value()) if self.value() else queryset


class ScopedAdmin(ModelAdmin):
    """A list and a page of things that belong to tenants; nothing is edited in place."""

    view_permission = Permission.VIEW
    page_template: str
    list_per_page = 50
    show_full_result_count = False
    actions = None
    list_filter_submit = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of the person's tenants."""
        visible = tenants_where(signed_in(request), self.view_permission)
        rows = self.model.unscoped.filter(tenant__in=visible).select_related("tenant")
        return cast("QuerySet[Any]", rows)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Filter by what the page offers and nothing else.

        Django allows any lookup of the model's own fields: a regular expression that never ends, in SQLite in this very
        process, or a digest that is guessed letter by letter.
        """
        filters = self.get_list_filter(request) if request is not None else self.list_filter
        offered = {item if isinstance(item, str) else getattr(item, "parameter_name", None) for item in filters}
        field, _, how = lookup.partition("__")
        return field in offered and how in _FILTERED_BY

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the section to whoever may see it in one tenant."""
        return may_somewhere(request, self.view_permission)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Look at one row: by the role in its tenant."""
        if obj is None:
            return self.has_module_permission(request)
        return person_may(signed_in(request), self.view_permission, tenant=self.tenant_of(obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nothing is added by a generic form."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing is changed by a generic form."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nothing is deleted by a generic form."""
        return False

    def tenant_of(self, obj: Any) -> Tenant:
        """Return the tenant that owns the row."""
        return cast(Tenant, obj.tenant)

    def may(self, request: HttpRequest, permission: Permission, obj: Any) -> bool:
        """Say whether the person may do that to this row."""
        return person_may(signed_in(request), permission, tenant=self.tenant_of(obj))

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row, or 404 when it is missing or another tenant's."""
        obj = self.get_object(request, object_id)
        if obj is None:
            raise Http404
        return obj

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Return what the page of one row shows."""
        return {}

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the page of one row; it has forms of its own and takes no POST itself."""
        if request.method not in ("GET", "HEAD") or object_id is None:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        obj = self.find(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": str(obj),
            "opts": self.opts,
            "object": obj,
            "tenant": self.tenant_of(obj),
            "may_develop": self.may(request, Permission.DEVELOP, obj),
            "may_administer": self.may(request, Permission.ADMINISTER, obj),
            **self.page_context(request, obj),
        }
        return TemplateResponse(request, self.page_template, context)

    def page_url(self, obj: Model) -> str:
        """Return the address of a row's page."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])

    def get_urls(self) -> list[URLPattern]:
        """Add the page's actions: ``{"activate": self.activate}`` becomes ``<id>/activate/``."""
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(f"<path:object_id>/{name}/", self.admin_site.admin_view(view), name=f"{prefix}_{name}")
            for name, view in self.page_actions().items()
        ]
        return [*own, *super().get_urls()]

    def page_actions(self) -> dict[str, Callable[..., HttpResponseBase]]:
        """Return the actions of a row's page by name."""
        return {}


def post_action(permission: Permission) -> Callable[[PageAction], Callable[..., HttpResponseBase]]:
    """Make a method an action on one row: POST only, by role, errors as messages, then back to the page.

    The method gets the row and returns ``None`` (back to the page) or a response. A GET never changes anything.
    """

    def decorate(method: PageAction) -> Callable[..., HttpResponseBase]:
        @wraps(method)
        def view(self: ScopedAdmin, request: HttpRequest, object_id: str) -> HttpResponseBase:
            if request.method != "POST":
                return HttpResponseNotAllowed(["POST"])
            obj = self.find(request, object_id)
            if not self.may(request, permission, obj):
                raise PermissionDenied
            try:
                response = method(self, request, obj)
            except ModelpoolError as error:
                messages.error(request, str(error))
                response = None
            return response or redirect(self.page_url(obj))

        return view

    return decorate
