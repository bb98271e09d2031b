"""The list of a person's tenants, with a line on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet, Sum
from django.utils import timezone
from django.utils.translation import gettext_lazy

from modelpool.console.listing import Column
from modelpool.console.quotas import Use, uses_of
from modelpool.core.served import MINUTE
from modelpool.http.paging import Listing
from modelpool.monitoring.models import ServedSpan
from modelpool.registry.models import RegisteredModel
from modelpool.tenants.models import Member, Tenant, User
from modelpool.training.models import TrainingJob

LISTING = Listing(
    orders={"name": "name", "created": "created_at"}, default="name", distinct=("name",), filters={}, extra=("q",)
)
COLUMNS = (
    Column(gettext_lazy("Tenant"), "name"),
    Column(gettext_lazy("Your role")),
    Column(gettext_lazy("Models"), is_number=True),
    Column(gettext_lazy("Active"), is_number=True),
    Column(gettext_lazy("Jobs running"), is_number=True),
    Column(gettext_lazy("Predictions, last hour"), is_number=True),
    Column(gettext_lazy("Storage")),
)


@dataclass(frozen=True, slots=True)
class Summary:
    """A tenant in a line."""

    use: Use
    role: str
    n_active: int
    n_running: int
    n_requests: int


def summaries_of(tenants: Sequence[Tenant], *, person: User) -> list[Summary]:
    """Return a line on each of a page of tenants, in a fixed number of queries."""
    ids = [tenant.pk for tenant in tenants]
    roles = dict(Member.unscoped.filter(user=person, tenant__in=ids).values_list("tenant_id", "role"))
    everywhere = "operator" if person.is_operator else ""
    active = _by_tenant(RegisteredModel.unscoped.filter(tenant__in=ids, active_version__isnull=False), Count("pk"))
    running = _by_tenant(TrainingJob.unscoped.filter(tenant__in=ids, state=TrainingJob.State.RUNNING), Count("pk"))
    since = timezone.now() - timedelta(hours=1)
    spans = ServedSpan.unscoped.filter(tenant__in=ids, seconds=MINUTE, start__gte=since)
    asked = _by_tenant(spans, Sum("requests"))
    return [
        Summary(
            use,
            everywhere or roles.get(use.tenant.pk, ""),
            active.get(use.tenant.pk, 0),
            running.get(use.tenant.pk, 0),
            asked.get(use.tenant.pk, 0),
        )
        for use in uses_of(tenants)
    ]


def _by_tenant(rows: QuerySet[Any], what: Count | Sum) -> dict[UUID, int]:
    return dict(rows.order_by().values_list("tenant_id").annotate(total=what))
