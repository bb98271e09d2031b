"""The page of one version."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from modelpool.console.pages import TenantPage, tenant_action, tenant_page
from modelpool.console.versions.confusion import confusion_of
from modelpool.console.versions.curves import curve_drawings, importance_drawing, regression_drawings
from modelpool.console.versions.facts import files_of, metrics_of, params_of, proof_of, signature_lines
from modelpool.console.versions.logged import logged_figures
from modelpool.console.versions.places import columns_of, dataset_of, version_of
from modelpool.console.versions.trying import Trial, address_of, new_trial, tried
from modelpool.monitoring.querysets import requests_lately, where_loaded
from modelpool.registry.copying import origin_of
from modelpool.registry.models import ModelVersion
from modelpool.registry.querysets import aliases_of_versions
from modelpool.tenants.membership import tenants_where
from modelpool.tenants.roles import Permission
from modelpool.training.models import Dataset, TrainingJob


@tenant_page()
def version_page(page: TenantPage, model: str, number: int) -> HttpResponse:
    """Show everything that is known of the version."""
    version = version_of(page, model, number)
    dataset = dataset_of(version)
    trial = new_trial(page, version, columns_of(dataset)) if page.may_predict else None
    return _shown(page, version, dataset, trial)


@tenant_action(Permission.PREDICT)
def try_version(page: TenantPage, model: str, number: int) -> HttpResponse:
    """Answer what was typed: to a script the part of the page with the answer, otherwise the page."""
    version = version_of(page, model, number)
    dataset = dataset_of(version)
    trial = tried(page, version, columns_of(dataset))
    if page.is_fragment:
        return page.fragment("console/versions/try.html", tenant=page.tenant, version=version, trial=trial)
    return _shown(page, version, dataset, trial)


def _shown(page: TenantPage, version: ModelVersion, dataset: Dataset | None, trial: Trial | None) -> HttpResponse:
    model, figures = version.model, version.figures
    importance = importance_drawing(figures)
    drawings = [*curve_drawings(figures), *regression_drawings(figures), *([importance] if importance else [])]
    confusion, logged = confusion_of(figures), logged_figures(figures)
    return page.render(
        "console/versions/version.html",
        title=_("%(name)s, version %(number)d") % {"name": model.name, "number": version.number},
        crumbs=[(_("Models"), page.url("models")), (model.name, page.url("model", model.name))],
        model=model,
        version=version,
        is_active=version.pk == model.active_version_id,
        may_answer=version.state == ModelVersion.State.READY and version.quarantined_at is None,
        aliases=aliases_of_versions([version]).get(version.pk, ()),
        tags=sorted(version.tags.items()),
        job=_job_of(page, version),
        dataset=dataset,
        origin=origin_of(version),
        origin_url=_origin_url(page, version),
        metrics=metrics_of(version),
        params=params_of(version),
        libraries=sorted(version.libraries.items()),
        proof=proof_of(version),
        signature=signature_lines(version),
        files=files_of(version),
        confusion=confusion,
        drawings=drawings,
        logged=logged,
        has_figures=bool(confusion or drawings or logged),
        loaded=where_loaded([version])[version.pk],
        requests_lately=requests_lately(version),
        trial=trial,
        upload_url=address_of(page, version).removesuffix(f"/{version.number}/predict"),
    )


def _origin_url(page: TenantPage, version: ModelVersion) -> str:
    """Return where the version that this one was copied from is looked at, by those who may see it and while it is."""
    origin = origin_of(version)
    if origin is None:
        return ""
    tenant = tenants_where(page.person, Permission.VIEW).filter(name=origin.tenant).first()
    if tenant is None:
        return ""
    versions = ModelVersion.objects.for_tenant(tenant).filter(model__name=origin.model, number=origin.number)
    if not versions.exclude(state=ModelVersion.State.DELETED).exists():
        return ""
    return reverse("console:version", args=[origin.tenant, origin.model, origin.number])


def _job_of(page: TenantPage, version: ModelVersion) -> TrainingJob | None:
    if version.job_id is None:
        return None
    jobs = TrainingJob.objects.for_tenant(page.tenant)
    row: TrainingJob | None = (
        jobs.filter(pk=version.job_id)
        .only("pk", "tenant", "trainer", "target", "created_by", "started_at", "finished_at")
        .first()
    )
    return row
