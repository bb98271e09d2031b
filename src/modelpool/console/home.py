"""Where one arrives: the person's tenants, and the home page of one."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from modelpool.console.pages import Page, TenantPage, person_page, tenant_page
from modelpool.console.scoping import operates
from modelpool.console.training.states import STATE_LABELS
from modelpool.registry.models import RegisteredModel
from modelpool.tenants.membership import tenants_where
from modelpool.tenants.roles import Permission
from modelpool.training.models import TrainingJob

_JOBS = 10
_MODELS = 10
_TENANTS = 100


@person_page
def home(page: Page) -> HttpResponse:
    """Lead to the only tenant, to the list of tenants, or operators to the installation."""
    if operates(page.request):
        return HttpResponseRedirect(reverse("console:operate"))
    first_two = list(tenants_where(page.person, Permission.VIEW).order_by("name")[:2])
    if len(first_two) == 1:
        return HttpResponseRedirect(reverse("console:tenant", args=[first_two[0].name]))
    return HttpResponseRedirect(reverse("console:tenants"))


@person_page
def tenants(page: Page) -> HttpResponse:
    """Offer the person's tenants, those whose names hold what is searched."""
    search = page.request.GET.get("q", "").strip()
    found = tenants_where(page.person, Permission.VIEW).order_by("name")
    if search:
        found = found.filter(name__icontains=search)
    rows = list(found[: _TENANTS + 1])
    return page.render(
        "console/tenants.html", title=_("Tenants"), rows=rows[:_TENANTS], has_more=len(rows) > _TENANTS, search=search
    )


@tenant_page()
def tenant_home(page: TenantPage) -> HttpResponse:
    """Show what is active and what runs."""
    return page.render("console/home.html", title=_("Home"), **_home_context(page))


def _home_context(page: TenantPage) -> dict[str, Any]:
    models = RegisteredModel.objects.for_tenant(page.tenant)
    jobs = TrainingJob.objects.for_tenant(page.tenant)
    states = TrainingJob.State
    latest = jobs.select_related("model", "tenant").order_by("-created_at")[:_JOBS]
    return {
        "counts": [
            ("Models", models.count(), page.url("models")),
            ("Active models", models.exclude(active_version=None).count(), page.url("models")),
            ("Jobs running", jobs.filter(state=states.RUNNING).count(), page.url("jobs")),
            ("Jobs queued", jobs.filter(state=states.QUEUED).count(), page.url("jobs")),
        ],
        "latest_jobs": [(job, STATE_LABELS.get(job.state, "info")) for job in latest],
        "latest_models": models.select_related("tenant", "active_version").order_by("-updated_at")[:_MODELS],
    }
