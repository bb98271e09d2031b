"""Everybody who can sign in, and the page of one: their roles, a link to choose a password, and locking them out."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from modelpool.console.account import sessions
from modelpool.console.listing import Column, show
from modelpool.console.methods import attempt, by_method
from modelpool.console.operate.forms import Membership, NewPerson
from modelpool.console.pages import Page, operator_action, operator_page
from modelpool.http.filters import boolean
from modelpool.http.paging import Listing
from modelpool.tenants import invitations, services
from modelpool.tenants.models import Member, User

LISTING = Listing(
    orders={"name": "username", "joined": "date_joined"},
    default="name",
    distinct=("username",),
    filters={"is_active": boolean("is_active"), "is_operator": boolean("is_superuser")},
    extra=("q",),
)
_COLUMNS = (
    Column(gettext_lazy("Person"), "name"),
    Column(gettext_lazy("State")),
    Column(gettext_lazy("Tenants")),
    Column(gettext_lazy("Last signed in")),
    Column(gettext_lazy("Added"), "joined"),
)
_TENANTS_SHOWN = 3


@operator_page
def people(page: Page) -> HttpResponse:
    """List everybody."""
    rows = User.objects.all()
    search = page.request.GET.get("q", "").strip().replace("\0", "")
    if search:
        rows = rows.filter(Q(username__icontains=search) | Q(email__icontains=search))
    shown = show(page.request, rows, listing=LISTING, columns=_COLUMNS)
    return page.render(
        "console/operate/people.html",
        title=_("People"),
        status=shown.status,
        shown=shown,
        rows=[(person, *places) for person, places in _with_tenants(shown.rows)],
    )


def _with_tenants(some: list[User]) -> list[tuple[User, tuple[list[Member], int]]]:
    """Return each with the first of their tenants, and how many more there are."""
    found: dict[int, list[Member]] = {person.pk: [] for person in some}
    rows = Member.unscoped.filter(user__in=found).select_related("tenant").order_by("tenant__name")
    for member in rows:
        found[member.user_id].append(member)
    shown = _TENANTS_SHOWN
    return [(one, (found[one.pk][:shown], max(0, len(found[one.pk]) - shown))) for one in some]


@operator_page
def _new(page: Page) -> HttpResponse:
    return _new_page(page, NewPerson(initial={"tenant": page.request.GET.get("tenant", "")}))


@operator_action
def _create(page: Page) -> HttpResponse:
    form = NewPerson(page.request.POST)
    made = attempt(form, lambda data: _make(page, data))
    return _new_page(page, form, status=422) if made is None else _show_link(page, made)


@transaction.atomic
def _make(page: Page, data: dict[str, Any]) -> User:
    """Create the person with their role, or neither."""
    person = services.create_user(
        data["username"], password=None, actor=page.actor, email=data["email"], is_operator=data["is_operator"]
    )
    if data["tenant"]:
        tenant = services.get_tenant(data["tenant"])
        services.set_member(tenant, user=person, role=data["role"], actor=page.actor)
    return person


def _new_page(page: Page, form: NewPerson, *, status: int = 200) -> HttpResponse:
    return page.render(
        "console/operate/form.html",
        title=_("Add a person"),
        status=status,
        crumbs=_crumbs(),
        form=form,
        lead=_("They get a link, once, by which they choose their own password: nobody else ever knows it."),
        button=_("Add and make the link"),
        cancel_url=reverse("console:operate-people"),
    )


def _show_link(page: Page, person: User) -> HttpResponse:
    parts = invitations.invite(person, actor=page.actor)
    response = page.render(
        "console/operate/invitation.html",
        title=_("A link for %(person)s") % {"person": person},
        crumbs=[*_crumbs(), (str(person), _address(person))],
        person=person,
        link=page.request.build_absolute_uri(reverse("console:welcome", args=parts)),
        person_url=_address(person),
    )
    response["Cache-Control"] = "no-store"
    return response


@operator_page
def person_page(page: Page, person: int) -> HttpResponse:
    """Show a person with their roles."""
    return _page(page, _person(person), Membership())


def _page(page: Page, person: User, form: Membership, *, status: int = 200) -> HttpResponse:
    members = Member.unscoped.filter(user=person).select_related("tenant").order_by("tenant__name")
    return page.render(
        "console/operate/person.html",
        title=str(person),
        status=status,
        crumbs=_crumbs(),
        person=person,
        members=members,
        form=form,
        is_self=person == page.person,
        has_second_factor=sessions.has_second_factor(person),
    )


@operator_action
def invite(page: Page, person: int) -> HttpResponse:
    """Make a link by which the person chooses a new password."""
    return _show_link(page, _person(person))


@operator_action
def set_active(page: Page, person: int) -> HttpResponse:
    """Lock a person out, which ends their sessions for good, or let them in again."""
    found, is_active = _person(person), page.yes_or_no("is_active")
    services.set_user_active(found, is_active=is_active, actor=page.actor)
    if not is_active:
        sessions.end_sessions(found, actor=page.actor)
    said = _("%(person)s may sign in again.") if is_active else _("%(person)s is locked out.")
    messages.success(page.request, said % {"person": found})
    return HttpResponseRedirect(_address(found))


@operator_action
def end_sessions(page: Page, person: int) -> HttpResponse:
    """Sign a person out everywhere; they may sign in again."""
    found = _person(person)
    count = sessions.end_sessions(found, actor=page.actor, but=page.request.session.session_key)
    said = ngettext("%(count)d session of %(person)s has ended.", "%(count)d sessions of %(person)s have ended.", count)
    messages.success(page.request, said % {"count": count, "person": found})
    return HttpResponseRedirect(_address(found))


@operator_action
def remove_second_factor(page: Page, person: int) -> HttpResponse:
    """Let a person who lost their phone sign in by the password alone."""
    found = _person(person)
    if sessions.remove_second_factor(found, actor=page.actor):
        messages.success(page.request, _("%(person)s signs in by the password alone now.") % {"person": found})
    return HttpResponseRedirect(_address(found))


@operator_action
def set_operator(page: Page, person: int) -> HttpResponse:
    """Let a person run the installation, or no longer."""
    found, is_operator = _person(person), page.yes_or_no("is_operator")
    services.set_operator(found, is_operator=is_operator, actor=page.actor)
    said = _("%(person)s is an operator now.") if is_operator else _("%(person)s is no operator any more.")
    messages.success(page.request, said % {"person": found})
    return HttpResponseRedirect(_address(found))


@operator_action
def add_role(page: Page, person: int) -> HttpResponse:
    """Give a person a role in a tenant."""
    found, form = _person(person), Membership(page.request.POST)
    member = attempt(
        form,
        lambda data: services.set_member(
            services.get_tenant(data["tenant"]), user=found, role=data["role"], actor=page.actor
        ),
    )
    if member is None:
        return _page(page, found, form, status=422)
    messages.success(
        page.request, _("%(person)s is a member of %(tenant)s.") % {"person": found, "tenant": member.tenant}
    )
    return HttpResponseRedirect(_address(found))


def _person(key: int) -> User:
    found = User.objects.filter(pk=key).first() if key < 2**63 else None
    if found is None:
        raise Http404
    return found


def _address(person: User) -> str:
    return reverse("console:operate-person", args=[person.pk])


def _crumbs() -> list[tuple[str, str]]:
    return [(_("People"), reverse("console:operate-people"))]


new_person = by_method(get=_new, post=_create)
