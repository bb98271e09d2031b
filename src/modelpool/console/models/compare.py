"""The page that compares versions."""

from __future__ import annotations

from django.http import HttpResponse
from django.utils.translation import gettext as _

from modelpool.console.models.comparison import metric_lines, sections_of
from modelpool.console.models.curves import curve_charts, curve_labels, importance_chart, residuals_chart
from modelpool.console.models.places import chosen_versions, model_of, numbers_in
from modelpool.console.models.pool import pool_of
from modelpool.console.pages import TenantPage, tenant_page
from modelpool.console.templatetags.console_tags import metric as shown_metric
from modelpool.core.errors import InvalidField
from modelpool.registry.models import ModelVersion
from modelpool.registry.querysets import aliases_of_versions
from modelpool.training.models import TrainingJob

LEAST, MOST = 2, 5


@tenant_page()
def compare(page: TenantPage, model: str) -> HttpResponse:
    """Show two to five versions side by side, in the order of the address; differences are from the first."""
    row = model_of(page, model)
    try:
        numbers, problem = numbers_in(page.request.GET.getlist("v")), ""
    except InvalidField as error:
        numbers, problem = [], str(error)
    versions = chosen_versions(row, numbers) if LEAST <= len(numbers) <= MOST else []
    if not problem and len(versions) < LEAST:
        problem = _("Choose from two to five versions that are there, in the table of the model.")
    pool, aliases = pool_of(row), aliases_of_versions(versions)
    labels = curve_labels(versions)
    asked = page.request.GET.get("label", "")
    label = asked if asked in labels else next(iter(labels), "")
    residuals = residuals_chart(versions)
    return page.render(
        "console/models/compare.html",
        title=_("Compare versions of %(name)s") % {"name": row.name},
        crumbs=[(_("Models"), page.url("models")), (row.name, page.url("model", row.name))],
        status=200 if len(versions) >= LEAST else 422,
        model=row,
        problem=problem if len(versions) < LEAST else "",
        compared=[(version, aliases.get(version.pk, ())) for version in versions],
        metrics=metric_lines(pool, versions, shown_metric),
        sections=sections_of(versions, _jobs_of(page, versions)),
        missing=[number for number in numbers if number not in {version.number for version in versions}],
        label=label,
        labels=labels,
        charts=[*curve_charts(versions, label=label), *([residuals] if residuals else [])],
        importance=importance_chart(versions),
    )


def _jobs_of(page: TenantPage, versions: list[ModelVersion]) -> dict[object, TrainingJob]:
    ids = [version.job_id for version in versions if version.job_id]
    jobs = TrainingJob.objects.for_tenant(page.tenant).select_related("dataset").filter(pk__in=ids)
    return {job.pk: job for job in jobs}
