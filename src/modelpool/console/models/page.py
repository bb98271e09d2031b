"""The page of one model: its pool of versions side by side, and what can be done with it."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse
from django.utils.translation import gettext as _

from modelpool.console.models.best import best_preview
from modelpool.console.models.chart import metric_chart
from modelpool.console.models.copying import tenants_to_copy_to
from modelpool.console.models.forms import UploadForm
from modelpool.console.models.places import model_of, number_in, version_stem
from modelpool.console.models.policies import policy_text
from modelpool.console.models.pool import MOST_VERSIONS, Pool, pool_of, rows_of
from modelpool.console.models.pool_order import STATES, columns_of, narrowed, order_of, sorted_by
from modelpool.console.models.sorting import headings, page_links, page_of
from modelpool.console.models.traffic import traffic_panel
from modelpool.console.pages import TenantPage, tenant_page
from modelpool.core.errors import NothingToRollBackTo
from modelpool.core.formats import FORMATS
from modelpool.registry import services
from modelpool.registry.models import Activation, RegisteredModel
from modelpool.registry.querysets import aliases_of_models
from modelpool.training.models import TrainingJob

_JOBS = 5
_ACTIVATIONS = 5


@dataclass(frozen=True, slots=True)
class Undo:
    """An activation that was done just now, and the version that can be returned to."""

    active: int
    back_to: int


@tenant_page()
def model_page(page: TenantPage, model: str) -> HttpResponse:
    """Show the model."""
    row = model_of(page, model)
    pool, asked = pool_of(row), page.request.GET
    aliases = aliases_of_models([row])[row.pk]
    metric = asked.get("metric", "") if asked.get("metric", "") in pool.metrics else pool.judged_by
    metrics, state = pool.columns(metric), asked.get("state", "")
    order = order_of(asked.get("sort", ""), metrics)
    found = page_of(page.request, sorted_by(narrowed(pool, state, aliased=set(aliases.values())), order))
    back_to = _back_to(row) if page.may_develop else None
    return page.render(
        "console/models/model.html",
        title=row.name,
        crumbs=[(_("Models"), page.url("models"))],
        model=row,
        policy=policy_text(row.policy),
        pool=pool,
        aliases=aliases,
        rows=rows_of(pool, list(found), metrics=metrics),
        stem=version_stem(page, row.name),
        found=found,
        links=page_links(page.request, found),
        headings=headings(page.request, columns_of(pool, metrics), order=order),
        metric=metric,
        state=state,
        states=STATES.items(),
        is_cut=len(pool.members) == MOST_VERSIONS,
        chart=metric_chart(page, pool, metric),
        traffic=traffic_panel(row, pool),
        best=best_preview(pool, by=metric, mode=""),
        back_to=back_to,
        undo=_undo(pool, asked.get("activated", ""), back_to),
        activations=_activations(row),
        jobs=TrainingJob.objects.for_tenant(page.tenant).filter(model=row).order_by("-created_at")[:_JOBS],
        upload_form=UploadForm(),
        accept=",".join(plugin.suffix for _name, plugin in FORMATS),
        copy_to=tenants_to_copy_to(page) if page.may_develop else [],
    )


def _back_to(model: RegisteredModel) -> int | None:
    try:
        return services.previous_version(model)
    except NothingToRollBackTo:
        return None


def _undo(pool: Pool, activated: str, back_to: int | None) -> Undo | None:
    """Offer to undo an activation that the address tells of, as long as it is still so."""
    number = number_in(activated)
    if number is None or number != pool.active_number or back_to is None:
        return None
    return Undo(number, back_to)


def _activations(model: RegisteredModel) -> list[Activation]:
    history = Activation.objects.for_tenant(model.tenant_id).filter(model=model)
    return list(history.order_by("-sequence")[:_ACTIVATIONS])
