"""Keys of programs: a tenant's, and the installation's own; the secret is shown once, when a key is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool import conf
from modelpool.console.administration.forms import NewKey
from modelpool.console.listing import Column, show
from modelpool.console.methods import attempt, by_method
from modelpool.console.pages import Page, TenantPage, operator_action, operator_page, tenant_action, tenant_page
from modelpool.core.errors import KeyNotFound
from modelpool.http.filters import Filter, one_of
from modelpool.http.paging import Listing
from modelpool.tenants import services
from modelpool.tenants.models import APIKey, Tenant
from modelpool.tenants.roles import TENANT_ROLES, Permission, Role

SOON = timedelta(days=14)
"""So long before a key expires it is said."""

LISTING = Listing(
    orders={"created": "created_at", "name": "name"},
    default="-created",
    filters={
        "role": one_of("role", [role.value for role in TENANT_ROLES]),
        "revoked": Filter("revoked_at__isnull", lambda text: text != "yes"),
        "q": Filter("name__icontains"),
    },
)
_COLUMNS = (
    Column(gettext_lazy("Key"), "name"),
    Column(gettext_lazy("Role")),
    Column(gettext_lazy("State")),
    Column(gettext_lazy("Made"), "created"),
    Column(gettext_lazy("Last used")),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where keys are shown: of a tenant, or of the installation where ``tenant`` is ``None``."""

    page: Page
    tenant: Tenant | None

    def url(self, name: str, *args: object) -> str:
        """Return an address of the keys' pages here: ``keys``, ``key-new``, ``key-revoke``."""
        if self.tenant is None:
            return reverse(f"console:operate-{name}", args=args)
        return reverse(f"console:{name}", args=[self.tenant.name, *args])

    def back(self) -> HttpResponse:
        """Go to the list."""
        return HttpResponseRedirect(self.url("keys"))


@dataclass(frozen=True, slots=True)
class Row:
    """A key as the list shows it."""

    key: APIKey
    state: str
    label: str
    revoke_url: str

    @property
    def is_open(self) -> bool:
        """Whether it still opens anything."""
        return self.label != "danger"


def state_of(key: APIKey, *, now: datetime) -> tuple[str, str]:
    """Return whether a key still opens anything, and the colour of that."""
    if key.revoked_at:
        return _("revoked"), "danger"
    if key.expires_at and key.expires_at <= now:
        return _("expired"), "danger"
    if key.expires_at and key.expires_at <= now + SOON:
        return _("expires soon"), "warning"
    return _("valid"), "success"


def list_keys(place: Place) -> HttpResponse:
    """Show the keys, the newest first."""
    shown = show(place.page.request, services.keys_of(place.tenant), listing=LISTING, columns=_COLUMNS)
    now = timezone.now()
    rows = [Row(key, *state_of(key, now=now), place.url("key-revoke", key.pk)) for key in shown.rows]
    return place.page.render(
        "console/administration/keys.html",
        title=_("Keys"),
        status=shown.status,
        shown=shown,
        rows=rows,
        new_url=place.url("key-new"),
        is_installations=place.tenant is None,
    )


def show_form(place: Place, form: NewKey | None = None, *, status: int = 200) -> HttpResponse:
    """Show the form of a new key."""
    form = form or NewKey(initial={"role": Role.PREDICTOR.value, "expires_in_days": "90"})
    if place.tenant is None:
        del form.fields["role"]
    return place.page.render(
        "console/administration/key_form.html",
        title=_("New key"),
        status=status,
        crumbs=[(_("Keys"), place.url("keys"))],
        form=form,
        keys_url=place.url("keys"),
        is_installations=place.tenant is None,
    )


def make(place: Place) -> HttpResponse:
    """Make a key and show its secret, this once."""
    form = NewKey(place.page.request.POST)
    if place.tenant is None:
        form.fields["role"].required = False
    made = attempt(form, lambda data: _make(place, data))
    if made is None:
        return show_form(place, form, status=422)
    key, secret = made
    address = conf.settings().server.public_url or place.page.request.build_absolute_uri("/")
    response = place.page.render(
        "console/administration/key_made.html",
        title=_("Key made"),
        crumbs=[(_("Keys"), place.url("keys"))],
        key=key,
        secret=secret,
        address=address.rstrip("/"),
        keys_url=place.url("keys"),
        may_predict=key.role != Role.VIEWER,
    )
    response["Cache-Control"] = "no-store"
    return response


def revoke(place: Place, key: UUID) -> HttpResponse:
    """Revoke a key; programs that use it are refused within a second."""
    try:
        revoked = services.revoke_key(key, tenant=place.tenant, actor=place.page.actor)
    except KeyNotFound as error:
        raise Http404 from error
    messages.success(place.page.request, _("%(key)s is revoked.") % {"key": revoked.name or revoked})
    return place.back()


def _make(place: Place, data: dict[str, Any]) -> tuple[APIKey, str]:
    role = Role.OPERATOR.value if place.tenant is None else data["role"]
    return services.create_key(
        tenant=place.tenant,
        role=role,
        actor=place.page.actor,
        name=data["name"],
        expires_in_days=data["expires_in_days"],
    )


Showing = Callable[[Place], HttpResponse]


def _of_tenant(view: Showing) -> Callable[[TenantPage], HttpResponse]:
    return lambda page: view(Place(page, page.tenant))


def _of_installation(view: Showing) -> Callable[[Page], HttpResponse]:
    return lambda page: view(Place(page, None))


_administrators_page, _administrators_action = tenant_page(Permission.ADMINISTER), tenant_action(Permission.ADMINISTER)
keys = _administrators_page(_of_tenant(list_keys))
new_key = by_method(get=_administrators_page(_of_tenant(show_form)), post=_administrators_action(_of_tenant(make)))
revoke_key = _administrators_action(lambda page, key: revoke(Place(page, page.tenant), key))

operators_keys = operator_page(_of_installation(list_keys))
new_operators_key = by_method(
    get=operator_page(_of_installation(show_form)), post=operator_action(_of_installation(make))
)
revoke_operators_key = operator_action(lambda page, key: revoke(Place(page, None), key))
