"""Where one arrives: the person's tenants, and the home page of one."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from modelpool.console.attention import attention_of
from modelpool.console.first_run import first_run
from modelpool.console.listing import show
from modelpool.console.pages import Page, TenantPage, person_page, tenant_page
from modelpool.console.quotas import limits_of
from modelpool.console.scoping import operates
from modelpool.console.serving_charts import period_of, tenant_charts
from modelpool.console.summaries import COLUMNS, LISTING, summaries_of
from modelpool.console.training.states import STATE_LABELS, STATE_TEXTS
from modelpool.registry.models import RegisteredModel
from modelpool.tenants.membership import tenants_where
from modelpool.tenants.roles import Permission
from modelpool.training.models import TrainingJob

_JOBS = 5
_MODELS = 8


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
    """Offer the person's tenants, with a line on each; those whose names or titles hold what is searched."""
    rows = tenants_where(page.person, Permission.VIEW)
    search = page.request.GET.get("q", "").strip().replace("\0", "")
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(display_name__icontains=search))
    shown = show(page.request, rows, listing=LISTING, columns=COLUMNS)
    return page.render(
        "console/tenants.html",
        title=_("Tenants"),
        status=shown.status,
        shown=shown,
        summaries=summaries_of(shown.rows, person=page.person),
    )


@tenant_page()
def tenant_home(page: TenantPage) -> HttpResponse:
    """Show how the tenant does; its parts renew themselves."""
    return page.render("console/home/home.html", title=_("Home"), **_now(page), **_serving(page))


@tenant_page()
def live(page: TenantPage) -> HttpResponse:
    """Return what changes by the second: jobs, counts, what needs attention."""
    return page.fragment("console/home/live.html", tenant=page.tenant, **_now(page))


@tenant_page()
def serving(page: TenantPage) -> HttpResponse:
    """Return the charts of predictions and latency."""
    return page.fragment("console/home/serving.html", tenant=page.tenant, **_serving(page))


def _serving(page: TenantPage) -> dict[str, Any]:
    return {"serving": tenant_charts(page.tenant, period=period_of(page.request.GET.get("period", "")))}


def _now(page: TenantPage) -> dict[str, Any]:
    models = RegisteredModel.objects.for_tenant(page.tenant)
    jobs, states = TrainingJob.objects.for_tenant(page.tenant).select_related("model"), TrainingJob.State
    limits = limits_of(page.tenant)
    running = jobs.filter(state=states.RUNNING)
    changed = models.select_related("active_version").order_by("-updated_at")
    changed = changed.only("name", "updated_at", "active_version__number")
    latest = jobs.filter(state__in=TrainingJob.FINAL).order_by("-created_at")[:_JOBS]
    return {
        "guide": first_run(page),
        "attention": attention_of(page, limits),
        "limits": [limit for limit in limits if limit.unit != "text"],
        "n_models": models.count(),
        "n_active": models.exclude(active_version=None).count(),
        "n_running": running.count(),
        "n_queued": jobs.filter(state=states.QUEUED).count(),
        "running": [(job, round(job.progress * 100)) for job in running.order_by("started_at")[:_JOBS]],
        "latest": [(job, STATE_LABELS.get(job.state, "info"), STATE_TEXTS.get(job.state, job.state)) for job in latest],
        "models": changed[:_MODELS],
    }
