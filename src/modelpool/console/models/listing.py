"""The list of a tenant's models: searched, filtered, and sorted by anything it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, FloatField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast, Coalesce
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from modelpool.console.models.policies import policy_text
from modelpool.console.models.sorting import Column, headings, page_links, page_of
from modelpool.console.pages import TenantPage, tenant_page
from modelpool.core.policies import metric_mode, metric_value
from modelpool.http.filters import by_tag
from modelpool.http.json_columns import ValueUnder
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.querysets import count_versions, models_of
from modelpool.registry.traffic_rules import TrafficRule, rule_of
from modelpool.tenants.models import Tenant

_METRICS_FROM = 100
_MOST_CHARS = 250

STATES = {
    "active": (gettext_lazy("answers"), Q(active_version__isnull=False, active_version__quarantined_at__isnull=True)),
    "none": (gettext_lazy("no active version"), Q(active_version__isnull=True)),
    "quarantined": (gettext_lazy("active one in quarantine"), Q(active_version__quarantined_at__isnull=False)),
    "divided": (gettext_lazy("traffic is divided"), Q(traffic__isnull=False)),
    "empty": (gettext_lazy("never had a version"), Q(last_number=0)),
}
"""What a list can be narrowed to: the word in the address, what people read, and which models those are."""

_ORDERS = {"name": "name", "updated": "updated_at", "created": "created_at", "versions": "n_versions"}


@dataclass(frozen=True, slots=True)
class Question:
    """What the address asks of the list; nonsense asks nothing."""

    search: str
    tag: str
    state: str
    metric: str
    least: float | None
    most: float | None
    order: str

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Question:
        """Read the fields of the form above the list."""
        asked = {name: query.get(name, "").strip()[:_MOST_CHARS].replace("\0", "") for name in ("q", "tag", "metric")}
        state, order = query.get("state", ""), query.get("sort", "")
        known = {*_ORDERS, *(["metric"] if asked["metric"] else [])}
        return cls(
            search=asked["q"],
            tag=asked["tag"],
            state=state if state in STATES else "",
            metric=asked["metric"],
            least=_number(query.get("least", "")),
            most=_number(query.get("most", "")),
            order=order if order.removeprefix("-") in known else "name",
        )

    @property
    def is_filtered(self) -> bool:
        """Whether some models may be left out."""
        return bool(self.search or self.tag or self.state or self.metric)


@dataclass(frozen=True, slots=True)
class Row:
    """A model as the list shows it."""

    model: RegisteredModel
    n_versions: int
    metric: str
    """The name of the metric that is asked for, else of the one that the active version is judged by."""
    value: float | None
    policy: str
    rule: TrafficRule | None


@tenant_page()
def models(page: TenantPage) -> HttpResponse:
    """Show a page of the tenant's models."""
    question = Question.read(page.request.GET)
    found = page_of(page.request, matching(page.tenant, question))
    return page.render(
        "console/models/list.html",
        title=_("Models"),
        question=question,
        rows=_rows(list(found), metric=question.metric),
        found=found,
        links=page_links(page.request, found),
        headings=headings(page.request, _columns(question), order=question.order),
        states=[(word, text) for word, (text, _models) in STATES.items()],
        metrics=metrics_in_use(page.tenant),
    )


def matching(tenant: Tenant, question: Question) -> QuerySet[RegisteredModel]:
    """Return the models that are asked for, in the order that is asked for."""
    rows: QuerySet[Any] = models_of(tenant).annotate(active_metrics=F("active_version__metrics"))
    if question.search:
        rows = rows.filter(Q(name__icontains=question.search) | Q(description__icontains=question.search))
    if question.tag:
        rows = _tagged(rows, question.tag)
    if question.state:
        rows = rows.filter(STATES[question.state][1])
    if question.metric:
        rows = _measured(rows, question)
    if question.order.endswith("versions"):
        rows = rows.annotate(n_versions=_n_versions(tenant))
    column = F(_ORDERS.get(question.order.removeprefix("-"), "metric_value"))
    descends = question.order.startswith("-")
    ordered: QuerySet[RegisteredModel] = rows.order_by(
        column.desc(nulls_last=True) if descends else column.asc(nulls_last=True), "name"
    )
    return ordered


def metrics_in_use(tenant: Tenant) -> list[str]:
    """Return the names of metrics that active versions have, those of the models changed last."""
    rows = models_of(tenant).filter(active_version__isnull=False).order_by("-updated_at")[:_METRICS_FROM]
    return sorted({name for metrics in rows.values_list("active_version__metrics", flat=True) for name in metrics})


def _tagged(rows: QuerySet[Any], tag: str) -> QuerySet[Any]:
    """Keep models with that tag: ``stage`` in any value, ``stage=test`` in one."""
    key, has_value, value = tag.partition("=")
    if has_value:
        tagged: QuerySet[Any] = by_tag(rows, key.strip(), value.strip())
        return tagged
    having: QuerySet[Any] = rows.annotate(tag_value=ValueUnder("tags", key)).filter(tag_value__isnull=False)
    return having


def _measured(rows: QuerySet[Any], question: Question) -> QuerySet[Any]:
    """Keep models whose active version has the metric, within the bounds."""
    value = Cast(ValueUnder("active_version__metrics", question.metric), FloatField())
    rows = rows.annotate(metric_value=value).filter(metric_value__isnull=False)
    rows = rows if question.least is None else rows.filter(metric_value__gte=question.least)
    return rows if question.most is None else rows.filter(metric_value__lte=question.most)


def _n_versions(tenant: Tenant) -> Any:
    living = ModelVersion.objects.for_tenant(tenant).filter(model=OuterRef("pk"))
    living = living.exclude(state=ModelVersion.State.DELETED).order_by().values("model").annotate(n=Count("pk"))
    return Coalesce(Subquery(living.values("n")), 0)


def _rows(found: list[Any], *, metric: str) -> list[Row]:
    counts = count_versions(found)
    return [
        Row(
            model=model,
            n_versions=counts[model.pk][0],
            metric=_judged_by(model, metric),
            value=metric_value(model.active_metrics or {}, _judged_by(model, metric)),
            policy=policy_text(model.policy),
            rule=rule_of(model.traffic),
        )
        for model in found
    ]


def _judged_by(model: RegisteredModel, metric: str) -> str:
    """Return the metric that is asked for, or the one that the active version is judged by."""
    return metric or (model.active_version.primary_metric if model.active_version else "")


def _columns(question: Question) -> list[Column]:
    judged = Column(question.metric, "metric", is_number=True, descends_first=metric_mode(question.metric) == "max")
    return [
        Column(_("Model"), "name"),
        Column(_("Active")),
        judged if question.metric else Column(_("Judged by")),
        Column(_("Versions"), "versions", is_number=True, descends_first=True),
        Column(_("Policy")),
        Column(_("Tags")),
        Column(_("Changed"), "updated", descends_first=True),
    ]


def _number(text: str) -> float | None:
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
