"""All tenants, and the page of one: what it has and may have, suspension, deletion."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool import conf
from modelpool.console.listing import Column, show
from modelpool.console.methods import attempt, by_method
from modelpool.console.operate.forms import NewTenant, TenantFields
from modelpool.console.pages import Page, operator_action, operator_page
from modelpool.console.quotas import limits_of, uses_of
from modelpool.core.errors import Conflict
from modelpool.http.filters import boolean, text
from modelpool.http.paging import Listing
from modelpool.tenants import services
from modelpool.tenants.models import Member, Tenant
from modelpool.training.emptiness import count_owned, refuse_unless_empty

LISTING = Listing(
    orders={"name": "name", "created": "created_at"},
    default="name",
    distinct=("name",),
    filters={"is_active": boolean("is_active"), "store": text("store")},
    extra=("q",),
)
_COLUMNS = (
    Column(gettext_lazy("Tenant"), "name"),
    Column(gettext_lazy("State")),
    Column(gettext_lazy("Models"), is_number=True),
    Column(gettext_lazy("Members"), is_number=True),
    Column(gettext_lazy("Storage")),
    Column(gettext_lazy("Store")),
    Column(gettext_lazy("Created"), "created"),
)


@operator_page
def tenants(page: Page) -> HttpResponse:
    """List the tenants."""
    rows = Tenant.objects.all()
    search = page.request.GET.get("q", "").strip().replace("\0", "")
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(display_name__icontains=search))
    shown = show(page.request, rows, listing=LISTING, columns=_COLUMNS)
    return page.render(
        "console/operate/tenants.html",
        title=_("Tenants"),
        status=shown.status,
        shown=shown,
        uses=uses_of(shown.rows),
        stores=sorted(conf.settings().stores),
    )


@operator_page
def _new(page: Page) -> HttpResponse:
    return _new_page(page, NewTenant(initial={"store": "default"}))


@operator_action
def _create(page: Page) -> HttpResponse:
    form = NewTenant(page.request.POST)
    made = attempt(form, lambda data: services.create_tenant(actor=page.actor, **data))
    if made is None:
        return _new_page(page, form, status=422)
    messages.success(page.request, _("%(tenant)s is there. Add its members now.") % {"tenant": made})
    return HttpResponseRedirect(reverse("console:operate-tenant", args=[made.name]))


def _new_page(page: Page, form: NewTenant, *, status: int = 200) -> HttpResponse:
    return page.render(
        "console/operate/form.html",
        title=_("New tenant"),
        status=status,
        crumbs=[(_("Tenants"), reverse("console:operate-tenants"))],
        form=form,
        button=_("Create the tenant"),
        cancel_url=reverse("console:operate-tenants"),
    )


@operator_page
def _show(page: Page, name: str) -> HttpResponse:
    tenant = _tenant(name)
    return _page(page, tenant, TenantFields.of(tenant))


@operator_action
def _change(page: Page, name: str) -> HttpResponse:
    tenant, form = _tenant(name), TenantFields(page.request.POST)
    changed = attempt(form, lambda data: services.update_tenant(tenant, actor=page.actor, **data))
    if changed is None:
        return _page(page, tenant, form, status=422)
    messages.success(page.request, _("Saved."))
    return _to(tenant)


def _page(page: Page, tenant: Tenant, form: TenantFields, *, status: int = 200) -> HttpResponse:
    return page.render(
        "console/operate/tenant.html",
        title=str(tenant),
        status=status,
        crumbs=[(_("Tenants"), reverse("console:operate-tenants"))],
        tenant=tenant,
        form=form,
        limits=limits_of(tenant),
        n_members=Member.objects.for_tenant(tenant).count(),
        n_keys=services.keys_of(tenant).filter(revoked_at=None).count(),
        kept_for=_kept_for(tenant),
    )


def _kept_for(tenant: Tenant) -> str:
    """Say why a tenant cannot be deleted now; nothing when it can."""
    if tenant.name == services.DEFAULT_TENANT:
        return _("The tenant “default” is always there; it can be suspended.")
    owned = count_owned(tenant)
    if not any(owned.values()):
        return ""
    told = _("It still owns %(models)s models and %(datasets)s datasets. Delete those first, or suspend it.")
    return told % owned


@operator_action
def set_state(page: Page, name: str) -> HttpResponse:
    """Suspend a tenant, or let it in again."""
    tenant, is_active = _tenant(name), page.yes_or_no("is_active")
    services.update_tenant(tenant, actor=page.actor, is_active=is_active)
    said = _("%(tenant)s is let in again.") if is_active else _("%(tenant)s is suspended.")
    messages.success(page.request, said % {"tenant": tenant})
    return _to(tenant)


@operator_action
def delete(page: Page, name: str) -> HttpResponse:
    """Delete a tenant that owns no models and datasets."""
    tenant = _tenant(name)
    if page.request.POST.get("confirmed") != tenant.name:
        raise Conflict(_("Type the name of the tenant to delete it."))
    services.delete_tenant(tenant, actor=page.actor, check=refuse_unless_empty)
    messages.success(page.request, _("%(tenant)s is deleted.") % {"tenant": tenant})
    return HttpResponseRedirect(reverse("console:operate-tenants"))


def _tenant(name: str) -> Tenant:
    found = Tenant.objects.filter(name=name).first()
    if found is None:
        raise Http404
    return found


def _to(tenant: Tenant) -> HttpResponse:
    return HttpResponseRedirect(reverse("console:operate-tenant", args=[tenant.name]))


new_tenant = by_method(get=_new, post=_create)
tenant_page = by_method(get=_show, post=_change)
