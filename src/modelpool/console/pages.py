"""The base of the console's pages: who looks, at which tenant, and what they may do there.

A tenant stands in the address of its pages, so that an address can be kept and passed on. A tenant that a person may
not see is not there for them: 404, as with the API. What their role does not allow is 403.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from modelpool.console.scoping import actor_for, operates, signed_in
from modelpool.console.site import Routed, site
from modelpool.core.errors import InvalidField, ModelpoolError
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.membership import role_in, tenants_where
from modelpool.tenants.models import Tenant, User
from modelpool.tenants.roles import Permission, role_allows

Args = ParamSpec("Args")
Crumbs = Sequence[tuple[str, str]]
"""The way to a page: texts, each with the address it leads to."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is asked for by somebody who has signed in."""

    request: HttpRequest

    @property
    def person(self) -> User:
        """Who looks."""
        return signed_in(self.request)

    @property
    def actor(self) -> Actor:
        """Whom the audit trail names."""
        return actor_for(self.request)

    @property
    def is_fragment(self) -> bool:
        """Whether htmx asks for a part of the page."""
        return self.request.headers.get("HX-Request") == "true"

    def render(
        self, template: str, *, title: str, crumbs: Crumbs = (), status: int = 200, **context: Any
    ) -> TemplateResponse:
        """Return ``template`` in the frame; it finds ``page`` and what ``context`` gives."""
        whole = {**site.each_context(self.request), "title": title, "crumbs": crumbs, "page": self, **context}
        return TemplateResponse(self.request, template, whole, status=status)

    def fragment(self, template: str, **context: Any) -> TemplateResponse:
        """Return a part of a page without the frame."""
        return TemplateResponse(self.request, template, {"page": self, **context})

    def yes_or_no(self, name: str) -> bool:
        """Return what the form says; raise :class:`InvalidField` where it says nothing: nothing is not no."""
        said = self.request.POST.get(name, "")
        if said not in ("true", "false"):
            raise InvalidField(name, _("is true or false."))
        return said == "true"

    def back_to(self, fallback: str) -> HttpResponseRedirect:
        """Go where the form's ``next`` says, as far as that is a page of ours, or to ``fallback``."""
        wanted = self.request.POST.get("next", "")
        is_ours = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
        return HttpResponseRedirect(wanted if is_ours else fallback)


@dataclass(frozen=True, slots=True)
class TenantPage(Page):
    """A page about things of one tenant."""

    tenant: Tenant
    role: str

    def may(self, permission: Permission) -> bool:
        """Say whether the person may do that in this tenant."""
        return role_allows(self.role, permission)

    @property
    def may_develop(self) -> bool:
        """Whether to show what scientists do: train, upload, activate, delete."""
        return self.may(Permission.DEVELOP)

    @property
    def may_predict(self) -> bool:
        """Whether to show what asks for predictions."""
        return self.may(Permission.PREDICT)

    @property
    def may_administer(self) -> bool:
        """Whether to show what the tenant's administrators do."""
        return self.may(Permission.ADMINISTER)

    def url(self, name: str, *args: object) -> str:
        """Return the address of a page of this tenant: ``url("model", "churn")``."""
        return reverse(f"console:{name}", args=[self.tenant.name, *args])

    def redirect(self, name: str, *args: object) -> HttpResponseRedirect:
        """Go to a page of this tenant."""
        return HttpResponseRedirect(self.url(name, *args))

    def render(
        self, template: str, *, title: str, crumbs: Crumbs = (), status: int = 200, **context: Any
    ) -> TemplateResponse:
        """Return ``template`` in the frame; the way to it begins with the tenant."""
        way = [(str(self.tenant), self.url("tenant")), *crumbs]
        return Page.render(self, template, title=title, crumbs=way, status=status, tenant=self.tenant, **context)


SomePage = TypeVar("SomePage", bound=Page)
View = Callable[Concatenate[SomePage, Args], HttpResponseBase]


def tenant_page(
    permission: Permission = Permission.VIEW,
) -> Callable[[View[TenantPage, Args]], Routed]:
    """Make ``view(page, …)`` a page at an address that names ``tenant``; it changes nothing."""

    def decorate(view: View[TenantPage, Args]) -> Routed:
        @wraps(view)
        def routed(request: HttpRequest, tenant: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return view(_tenant_page(request, tenant, permission=permission), *args, **kwargs)

        return site.admin_view(require_safe(routed))

    return decorate


def tenant_action(permission: Permission) -> Callable[[View[TenantPage, Args]], Routed]:
    """Make ``view(page, …)`` what a form of a tenant's page does; what is refused becomes a message on that page."""

    def decorate(view: View[TenantPage, Args]) -> Routed:
        @wraps(view)
        def routed(request: HttpRequest, tenant: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            page = _tenant_page(request, tenant, permission=permission)
            return _telling_errors(page, lambda: view(page, *args, **kwargs), fallback=page.url("tenant"))

        return site.admin_view(require_POST(routed))

    return decorate


def operator_page(view: View[Page, Args]) -> Routed:
    """Make ``view(page, …)`` a page for those who run the installation."""

    @wraps(view)
    def routed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return view(_operator_page(request), *args, **kwargs)

    return site.admin_view(require_safe(routed))


def operator_action(view: View[Page, Args]) -> Routed:
    """Make ``view(page, …)`` what a form on an operators' page does."""

    @wraps(view)
    def routed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        page = _operator_page(request)
        return _telling_errors(page, lambda: view(page, *args, **kwargs), fallback=reverse("console:home"))

    return site.admin_view(require_POST(routed))


def person_page(view: View[Page, Args]) -> Routed:
    """Make ``view(page, …)`` a page for everybody who has signed in."""

    @wraps(view)
    def routed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return view(Page(request), *args, **kwargs)

    return site.admin_view(require_safe(routed))


def _tenant_page(request: HttpRequest, name: str, *, permission: Permission) -> TenantPage:
    person = signed_in(request)
    tenant = tenants_where(person, Permission.VIEW).filter(name=name).first()
    role = role_in(person, tenant) if tenant else None
    if tenant is None or role is None:
        raise Http404
    if not role_allows(role, permission):
        _deny(request, needed=permission, tenant=tenant)
    request.console_place = tenant, role  # type: ignore[attr-defined]  # the navigation need not look again
    return TenantPage(request, tenant, role)


def _operator_page(request: HttpRequest) -> Page:
    if not operates(request):
        _deny(request, needed=Permission.OPERATE, tenant=None)
    return Page(request)


def _deny(request: HttpRequest, *, needed: Permission, tenant: Tenant | None) -> NoReturn:
    """Refuse; who tried to change what their role does not let them is written down, as by the API."""
    if request.method == "POST":
        audit.record(
            "access",
            actor=actor_for(request),
            tenant=tenant,
            target=f"POST {request.path}",
            details={"needs": needed},
            outcome="denied",
        )
    raise PermissionDenied


def _telling_errors(page: Page, act: Callable[[], HttpResponseBase], *, fallback: str) -> HttpResponseBase:
    try:
        return act()
    except ModelpoolError as error:
        messages.error(page.request, str(error))
        came_from = page.request.headers.get("Referer", "")
        host = page.request.get_host()
        is_ours = url_has_allowed_host_and_scheme(came_from, allowed_hosts={host})
        return redirect(came_from if is_ours else fallback)
