"""The installation at a glance: what runs, what waits, what was asked, what is stored, and what needs attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.db.models import Count, Min, Sum
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from modelpool.console.charts import Chart, Series
from modelpool.console.operate.machines import Machine, machines
from modelpool.console.pages import Page, operator_page
from modelpool.console.serving_charts import installation_charts, period_of
from modelpool.monitoring.models import VersionUse
from modelpool.monitoring.querysets import USE_DAYS
from modelpool.registry.models import ModelVersion
from modelpool.storage.health import troubles_lately
from modelpool.storage.models import Artifact
from modelpool.tenants.models import APIKey, Tenant
from modelpool.training.models import TrainingJob
from modelpool.training.querysets import trainer_problems

_DAY = timedelta(days=1)
_WAITS_LONG = timedelta(minutes=10)
_EXPIRES_SOON = timedelta(days=14)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that an operator should look at, and where."""

    level: Literal["danger", "warning"]
    text: str
    url: str = ""
    action: str = ""


@operator_page
def overview(page: Page) -> HttpResponse:
    """Show it; the part that changes renews itself, and the figures that take longest to add up come after."""
    context = _now()
    if page.is_fragment:
        return page.fragment("console/operate/overview_live.html", **context)
    period = period_of(page.request.GET.get("period", ""))
    return page.render("console/operate/overview.html", title=_("Overview"), period=period, **context)


@operator_page
def figures(page: Page) -> HttpResponse:
    """Show what all tenants' models were asked, lately and by day, and what is stored where."""
    serving = installation_charts(period=period_of(page.request.GET.get("period", "")))
    context = {"serving": serving, "requests": _requests(), "stores": _stores()}
    return page.fragment("console/operate/overview_figures.html", **context)


def _now() -> dict[str, Any]:
    found = machines()
    states = TrainingJob.State
    jobs = TrainingJob.unscoped.filter(state__in=[states.QUEUED, states.RUNNING]).order_by()
    by_state = {row["state"]: row for row in jobs.values("state").annotate(n=Count("pk"), oldest=Min("created_at"))}
    queued, running = by_state.get(states.QUEUED, {}), by_state.get(states.RUNNING, {})
    n_workers = sum(worker.is_alive for machine in found for worker in machine.workers)
    return {
        "machines": found,
        "n_processes": sum(len(machine.processes) for machine in found),
        "n_workers": n_workers,
        "n_models": sum(process.row.n_models for machine in found for process in machine.processes),
        "n_queued": queued.get("n", 0),
        "n_running": running.get("n", 0),
        "oldest": queued.get("oldest"),
        "n_tenants": Tenant.objects.count(),
        "attention": list(_attention(found, n_workers=n_workers, queued=queued)),
    }


def _attention(found: list[Machine], *, n_workers: int, queued: dict[str, Any]) -> Iterator[Attention]:
    nodes, jobs = reverse("console:operate-nodes"), reverse("console:operate-jobs")
    if not n_workers:
        told = _("No job worker is alive: nothing is trained. Start “modelpool worker” on a machine.")
        yield Attention("danger", told, nodes, _("Nodes"))
    elif queued.get("oldest") and queued["oldest"] < timezone.now() - _WAITS_LONG:
        told = _("A job has waited for more than ten minutes: more workers would help.")
        yield Attention("warning", told, f"{jobs}?state=queued", _("Waiting jobs"))
    for machine in found:
        quiet = sum(process.is_quiet for process in machine.processes)
        if quiet:
            told = ngettext(
                "A web process of %(machine)s gives no sign of life.",
                "%(n)s web processes of %(machine)s give no sign of life.",
                quiet,
            )
            yield Attention("warning", told % {"n": quiet, "machine": machine.name}, nodes, _("Nodes"))
    yield from _of_stores(nodes)
    yield from _of_training(jobs)
    yield from _of_versions()
    yield from _of_keys()


def _of_stores(nodes: str) -> Iterator[Attention]:
    for trouble in troubles_lately()[:_SHOWN]:
        names = {"store": trouble.store, "machine": trouble.node, "detail": trouble.detail}
        if trouble.fails_now:
            yield Attention("danger", _("Store %(store)s fails on %(machine)s: %(detail)s") % names, nodes, _("Nodes"))
        else:
            told = _("Store %(store)s failed on %(machine)s in the last day: %(detail)s")
            yield Attention("warning", told % names, nodes, _("Nodes"))


def _of_training(jobs: str) -> Iterator[Attention]:
    for problem in trainer_problems()[:_SHOWN]:
        told = _("Trainers of %(source)s could not be loaded: %(detail)s")
        yield Attention("warning", told % {"source": problem.source, "detail": problem.detail[:300]})
    since = timezone.now() - _DAY
    failed = TrainingJob.unscoped.filter(state=TrainingJob.State.FAILED, run_after__gte=since, created_at__gte=since)
    if n_failed := failed.count():
        told = ngettext("A job of the last day failed.", "%(n)s jobs of the last day failed.", n_failed)
        yield Attention("warning", told % {"n": n_failed}, f"{jobs}?state=failed", _("Failed jobs"))


def _of_versions() -> Iterator[Attention]:
    held = ModelVersion.unscoped.filter(quarantined_at__isnull=False).exclude(state=ModelVersion.State.DELETED)
    rows = held.select_related("model", "tenant").only("number", "model__name", "tenant__name", "quarantine_reason")
    for version in rows.order_by("-quarantined_at")[:_SHOWN]:
        told = _("%(tenant)s/%(model)s v%(number)s is in quarantine: %(reason)s") % {
            "tenant": version.tenant.name,
            "model": version.model.name,
            "number": version.number,
            "reason": version.quarantine_reason,
        }
        url = reverse("console:version", args=[version.tenant.name, version.model.name, version.number])
        yield Attention("danger", told, url, _("Look at it"))


def _of_keys() -> Iterator[Attention]:
    now = timezone.now()
    soon = APIKey.unscoped.filter(
        tenant=None, revoked_at=None, expires_at__gt=now, expires_at__lt=now + _EXPIRES_SOON
    ).count()
    if soon:
        told = ngettext("An operator's key expires soon.", "%(n)s operators' keys expire soon.", soon)
        yield Attention("warning", told % {"n": soon}, reverse("console:operate-keys"), _("Keys"))


def _requests() -> Chart | None:
    """Return the requests of each of the last days, or ``None`` when there were none."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=back) for back in reversed(range(USE_DAYS))]
    rows = VersionUse.unscoped.filter(day__gte=days[0]).order_by().values_list("day").annotate(n=Sum("requests"))
    by_day = dict(rows)
    if not by_day:
        return None
    return Chart(
        id="requests",
        title=_("Requests for predictions by day (UTC)"),
        kind="bar",
        labels=[f"{day:%d %b}" for day in days],
        series=[Series(_("Requests"), [by_day.get(day, 0) for day in days])],
        y_min=0,
        x_title=_("Day"),
    )


def _stores() -> list[dict[str, Any]]:
    stored = Artifact.unscoped.filter(state__in=[Artifact.State.PENDING, Artifact.State.READY]).order_by()
    return list(stored.values("store").annotate(n=Count("pk"), bytes=Sum("size_bytes")).order_by("-bytes"))
