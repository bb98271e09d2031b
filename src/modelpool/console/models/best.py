"""What "best of the pool" would do: said before it is done."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse

from modelpool.console.models.places import model_of
from modelpool.console.models.pool import Pool, pool_of
from modelpool.console.pages import TenantPage, tenant_page
from modelpool.core.policies import Mode
from modelpool.tenants.roles import Permission

_MODES: dict[str, Mode] = {"max": "max", "min": "min"}


@dataclass(frozen=True, slots=True)
class BestPreview:
    """The version that would be activated by a metric, and the one that answers now, with their values."""

    by: str
    mode: str
    """What was chosen: ``max``, ``min``, or empty for what is usual for the metric."""
    meant: Mode
    number: int | None
    value: float | None
    active: int | None
    active_value: float | None

    @property
    def changes_nothing(self) -> bool:
        """Whether the best is active already."""
        return self.number is not None and self.number == self.active


def best_preview(pool: Pool, *, by: str, mode: str) -> BestPreview:
    """Return what would happen now."""
    chosen = _MODES.get(mode)
    number = pool.best_number(by=by, mode=chosen) if by else None
    best, active = pool.member(number), pool.member(pool.active_number)
    return BestPreview(
        by=by,
        mode=chosen or "",
        meant=chosen or pool.mode(by),
        number=number,
        value=None if best is None else best.value(by),
        active=pool.active_number,
        active_value=None if active is None else active.value(by),
    )


@tenant_page(Permission.DEVELOP)
def best_of_pool(page: TenantPage, model: str) -> HttpResponse:
    """Show what would happen, as a part of the model's page."""
    pool = pool_of(model_of(page, model))
    asked = page.request.GET
    by = asked.get("by", "") if asked.get("by", "") in pool.metrics else pool.judged_by
    best = best_preview(pool, by=by, mode=asked.get("mode", ""))
    if page.is_fragment:
        return page.fragment("console/models/best_preview.html", model=pool.model, best=best)
    return page.redirect("model", pool.model.name)
