"""What in a tenant needs somebody's attention, the worst first, each with the page where it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from django.db.models import Count, Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from modelpool import conf
from modelpool.console.pages import TenantPage
from modelpool.console.quotas import Limit, limits_of
from modelpool.console.training.states import has_worker
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.traffic_rules import rule_of
from modelpool.tenants.models import APIKey
from modelpool.training.models import TrainingJob

_SHOWN = 5
_EXPIRES_SOON = timedelta(days=14)
_FAILED_LATELY = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Attention:
    """Something to look at, and where; ``info`` is nothing wrong, but under way."""

    level: Literal["danger", "warning", "info"]
    text: str
    url: str = ""
    action: str = ""


def attention_of(page: TenantPage, limits: list[Limit] | None = None) -> list[Attention]:
    """Return what the tenant's people should look at, as far as the person's role lets them see it."""
    return [
        *_of_store(page),
        *_of_quarantine(page),
        *_of_workers(page),
        *_of_jobs(page),
        *_of_limits(page, limits if limits is not None else limits_of(page.tenant)),
        *_of_parity(page),
        *_of_keys(page),
        *_of_pools(page),
        *_of_canaries(page),
    ]


def _of_store(page: TenantPage) -> Iterator[Attention]:
    store = page.tenant.store
    if store not in conf.settings().stores:
        told = _(
            "The store “%(store)s” of this tenant is not set up on this server: nothing can be kept. Ask an operator."
        )
        yield Attention("danger", told % {"store": store})


def _of_quarantine(page: TenantPage) -> Iterator[Attention]:
    rows = ModelVersion.objects.for_tenant(page.tenant).filter(quarantined_at__isnull=False)
    rows = rows.exclude(state=ModelVersion.State.DELETED).select_related("model")
    for version in rows.only("number", "model__name", "quarantine_reason").order_by("-quarantined_at")[:_SHOWN]:
        told = _("%(model)s v%(number)s is in quarantine: %(reason)s") % {
            "model": version.model.name,
            "number": version.number,
            "reason": version.quarantine_reason,
        }
        yield Attention("danger", told, page.url("version", version.model.name, version.number), _("Look at it"))


def _of_workers(page: TenantPage) -> Iterator[Attention]:
    queued = TrainingJob.objects.for_tenant(page.tenant).filter(state=TrainingJob.State.QUEUED)
    if queued.exists() and not has_worker():
        told = _("No job worker is running: jobs wait until an operator starts one.")
        yield Attention("danger", told, page.url("jobs"), _("Jobs"))


def _of_jobs(page: TenantPage) -> Iterator[Attention]:
    """Models whose jobs failed and none has succeeded since."""
    jobs, states = TrainingJob.objects.for_tenant(page.tenant), TrainingJob.State
    later = jobs.filter(model=OuterRef("model"), state=states.SUCCEEDED, created_at__gt=OuterRef("created_at"))
    failed = jobs.filter(state=states.FAILED, created_at__gt=timezone.now() - _FAILED_LATELY).exclude(Exists(later))
    for row in failed.order_by().values("model__name").annotate(n=Count("pk")).order_by("-n")[:_SHOWN]:
        told = ngettext(
            "A job of %(model)s failed, and none has succeeded since.",
            "%(n)s jobs of %(model)s failed, and none has succeeded since.",
            row["n"],
        )
        told = told % {"model": row["model__name"], "n": row["n"]}
        yield Attention("warning", told, page.url("model", row["model__name"]), _("Look at the model"))


def _of_limits(page: TenantPage, limits: list[Limit]) -> Iterator[Attention]:
    for limit in limits:
        if limit.is_nearly_used_up:
            told = _("%(quota)s: little is left of the quota. Delete what nobody needs, or ask an operator for more.")
            yield Attention("warning", told % {"quota": limit.title}, page.url("datasets"), _("Datasets"))


def _of_parity(page: TenantPage) -> Iterator[Attention]:
    """Active versions that are not compiled because the compiled form did not answer alike."""
    models = RegisteredModel.objects.for_tenant(page.tenant).filter(active_version__parity__equal=False)
    rows = models.values_list("name", "active_version__number", "active_version__parity").order_by("name")
    for name, number, parity in rows[:_SHOWN]:
        told = _("%(model)s v%(number)s answers more slowly than it could: it was not compiled. %(reason)s") % {
            "model": name,
            "number": number,
            "reason": parity.get("reason") or "",
        }
        yield Attention("warning", told, page.url("version", name, number), _("Look at it"))


def _of_keys(page: TenantPage) -> Iterator[Attention]:
    if not page.may_administer:
        return
    now = timezone.now()
    keys = APIKey.objects.for_tenant(page.tenant).filter(revoked_at=None, expires_at__gt=now)
    if n_keys := keys.filter(expires_at__lt=now + _EXPIRES_SOON).count():
        told = ngettext("A key expires within two weeks.", "%(n)s keys expire within two weeks.", n_keys)
        yield Attention("warning", told % {"n": n_keys}, page.url("keys"), _("Keys"))


def _of_pools(page: TenantPage) -> Iterator[Attention]:
    models = RegisteredModel.objects.for_tenant(page.tenant).filter(active_version=None, last_number__gt=0)
    for name in models.order_by("-updated_at").values_list("name", flat=True)[:_SHOWN]:
        told = _("%(model)s has versions, and none of them is active: it answers nobody.") % {"model": name}
        yield Attention("warning", told, page.url("model", name), _("Activate one"))


def _of_canaries(page: TenantPage) -> Iterator[Attention]:
    models = RegisteredModel.objects.for_tenant(page.tenant).filter(traffic__isnull=False)
    for name, stored in models.order_by("name").values_list("name", "traffic")[: 4 * _SHOWN]:
        rule = rule_of(stored)
        if rule is not None and rule.canary is not None:
            told = _("%(model)s: v%(number)s is tried out on %(percent)s %% of the requests.") % {
                "model": name,
                "number": rule.canary.version,
                "percent": f"{rule.canary.percent:g}",
            }
            yield Attention("info", told, page.url("model", name), _("See how it does"))
