"""What tenants use of what they may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from django.db.models import Count, QuerySet, Sum
from django.utils.translation import gettext as _

from modelpool import conf
from modelpool.console.templatetags.console_tags import readable_bytes
from modelpool.registry.models import RegisteredModel
from modelpool.storage.models import Artifact
from modelpool.storage.quotas import storage_quota, storage_used
from modelpool.tenants.models import Member, Tenant
from modelpool.training.querysets import count_queued

NEARLY = 0.9
"""From this share of a quota on it is said."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a tenant may have of something; ``most`` is ``None`` for no limit, ``used`` where nothing is counted."""

    title: str
    used: float | None
    most: float | None
    unit: Literal["bytes", "count", "text"]
    is_own: bool
    """Whether it was set for this tenant, rather than for all of the installation."""
    text: str = ""

    @property
    def high(self) -> float:
        """From where on little is left."""
        return (self.most or 0) * NEARLY

    @property
    def is_nearly_used_up(self) -> bool:
        """Whether little is left."""
        return self.used is not None and self.most is not None and self.used >= self.high


def limits_of(tenant: Tenant) -> list[Limit]:
    """Return the quotas of one tenant with what it uses of each."""
    limits = conf.settings().limits
    n_models = RegisteredModel.objects.for_tenant(tenant).count()
    most_models = limits.tenant_models if tenant.max_models is None else tenant.max_models
    most_jobs = limits.tenant_queued_jobs if tenant.max_queued_jobs is None else tenant.max_queued_jobs
    return [
        Limit(
            _("Storage"),
            storage_used(tenant),
            storage_quota(tenant),
            "bytes",
            is_own=tenant.max_storage_bytes is not None,
        ),
        Limit(_("Models"), n_models, most_models, "count", is_own=tenant.max_models is not None),
        Limit(_("Jobs that wait"), count_queued(tenant), most_jobs, "count", is_own=tenant.max_queued_jobs is not None),
        _said(_("Predictions"), _rate_text(tenant), is_own=tenant.predictions_per_second is not None),
        _said(_("Datasets are kept"), _days_text(tenant), is_own=tenant.dataset_days is not None),
        _said(_("Store of new files"), tenant.store, is_own=True),
        _said(_("Files lie in"), _stores_text(tenant), is_own=True),
    ]


def _said(title: str, text: str, *, is_own: bool) -> Limit:
    return Limit(title, None, None, "text", is_own=is_own, text=text)


def _stores_text(tenant: Tenant) -> str:
    """Name the stores with what lies in each: files stay where they were when the tenant gets another."""
    stored = Artifact.objects.for_tenant(tenant).filter(state=Artifact.State.READY).order_by()
    rows = stored.values_list("store").annotate(total=Sum("size_bytes")).order_by("store")
    return ", ".join(f"{store} ({readable_bytes(total)})" for store, total in rows) or _("no store yet")


def _rate_text(tenant: Tenant) -> str:
    limits = conf.settings().limits
    own = tenant.predictions_per_second
    rate = limits.tenant_predictions_per_second if own is None else own
    burst = tenant.burst or (limits.tenant_burst if own is None else None)
    if rate is None:
        return _("as many as the server can")
    text = _("%(rate)s a second on each node") % {"rate": f"{rate:g}"}
    return text + (_(", %(burst)s at once after a rest") % {"burst": f"{burst:,}"} if burst else "")


def _days_text(tenant: Tenant) -> str:
    own = tenant.dataset_days
    days = float(conf.settings().datasets.keep) / 86_400 if own is None else own
    return _("for %(days)s days") % {"days": f"{days:g}"} if days else _("until somebody deletes them")


@dataclass(frozen=True, slots=True)
class Use:
    """What a tenant has, as a list shows it."""

    tenant: Tenant
    n_models: int
    n_members: int
    used_bytes: int
    quota_bytes: int


def uses_of(tenants: Sequence[Tenant]) -> list[Use]:
    """Return what each of a page of tenants has, in three queries."""
    ids = [tenant.pk for tenant in tenants]
    models = _by_tenant(RegisteredModel.unscoped.filter(tenant__in=ids), Count("pk"))
    members = _by_tenant(Member.unscoped.filter(tenant__in=ids), Count("pk"))
    stored = Artifact.unscoped.filter(tenant__in=ids, state__in=[Artifact.State.PENDING, Artifact.State.READY])
    used = _by_tenant(stored, Sum("size_bytes"))
    return [
        Use(one, models.get(one.pk, 0), members.get(one.pk, 0), used.get(one.pk, 0), storage_quota(one))
        for one in tenants
    ]


def _by_tenant(rows: QuerySet[Any], what: Count | Sum) -> dict[UUID, int]:
    return dict(rows.order_by().values_list("tenant_id").annotate(total=what))
