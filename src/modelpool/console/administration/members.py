"""Who has which role in a tenant."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.administration.forms import ROLES, NewMember
from modelpool.console.listing import Column, Shown, show
from modelpool.console.methods import attempt, by_method
from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.http.filters import one_of
from modelpool.http.paging import Listing
from modelpool.tenants import services
from modelpool.tenants.models import Member
from modelpool.tenants.roles import TENANT_ROLES, Permission

LISTING = Listing(
    orders={"since": "created_at", "role": "role"},
    default="since",
    filters={"role": one_of("role", [role.value for role in TENANT_ROLES])},
    extra=("q",),
)
_COLUMNS = (
    Column(gettext_lazy("Person")),
    Column(gettext_lazy("Role"), "role"),
    Column(gettext_lazy("Since"), "since"),
)


@tenant_page(Permission.ADMINISTER)
def _list(page: TenantPage) -> HttpResponse:
    """List the people, with a form for one more."""
    return _page(page, NewMember())


@tenant_action(Permission.ADMINISTER)
def _add(page: TenantPage) -> HttpResponse:
    """Give a person a role."""
    form = NewMember(page.request.POST)
    added = attempt(
        form,
        lambda data: services.set_member(
            page.tenant, user=services.get_user(data["username"]), role=data["role"], actor=page.actor
        ),
    )
    if added is None:
        return _page(page, form, status=422)
    return _told(page, added)


members = by_method(get=_list, post=_add)


@tenant_action(Permission.ADMINISTER)
def change_role(page: TenantPage, member: UUID) -> HttpResponse:
    """Give a member another role."""
    user = _member(page, member).user
    role = page.request.POST.get("role", "")
    return _told(page, services.set_member(page.tenant, user=user, role=role, actor=page.actor))


@tenant_action(Permission.ADMINISTER)
def remove(page: TenantPage, member: UUID) -> HttpResponse:
    """Take a member out of the tenant."""
    user = _member(page, member).user
    services.remove_member(page.tenant, user=user, actor=page.actor)
    messages.success(page.request, _("%(person)s is no longer a member.") % {"person": user})
    if user == page.person and not user.is_operator:
        return HttpResponseRedirect(reverse("console:home"))
    return page.redirect("members")


def _told(page: TenantPage, member: Member) -> HttpResponse:
    text = _("%(person)s is %(role)s now.") % {"person": member.user, "role": member.get_role_display()}
    messages.success(page.request, text)
    return page.redirect("members")


def _page(page: TenantPage, form: NewMember, *, status: int = 200) -> HttpResponse:
    shown = _shown(page)
    return page.render(
        "console/administration/members.html",
        title=_("Members"),
        status=status if status != 200 else shown.status,
        shown=shown,
        form=form,
        roles=ROLES,
    )


def _shown(page: TenantPage) -> Shown[Member]:
    rows = Member.objects.for_tenant(page.tenant).select_related("user")
    search = page.request.GET.get("q", "").replace("\0", "")
    if search:
        rows = rows.filter(Q(user__username__icontains=search) | Q(user__email__icontains=search))
    return show(page.request, rows, listing=LISTING, columns=_COLUMNS)


def _member(page: TenantPage, member: UUID) -> Member:
    found: Member | None = Member.objects.for_tenant(page.tenant).select_related("user").filter(pk=member).first()
    if found is None:
        raise Http404
    return found
