"""The guide for a tenant where nothing has happened yet: three steps that tick themselves off."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponse, HttpResponseRedirect

from modelpool.console.pages import TenantPage, tenant_action
from modelpool.console.sample_data import SAMPLE_FILE, SAMPLE_NAME, sample_table
from modelpool.console.training.train import train_url
from modelpool.monitoring.models import VersionUse
from modelpool.monitoring.querysets import was_served
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.tenants.roles import Permission
from modelpool.training.models import Dataset
from modelpool.training.services import create_dataset


@dataclass(frozen=True, slots=True)
class FirstRun:
    """How far a tenant has come; ``try_url`` is where its first model can be asked."""

    has_data: bool
    has_version: bool
    has_predicted: bool
    dataset: Dataset | None = None
    train_url: str = ""
    try_url: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the guide is not needed any more."""
        return self.has_version and self.has_predicted

    @property
    def n_done(self) -> int:
        """How many of the three steps are done."""
        return self.has_data + self.has_version + self.has_predicted


def first_run(page: TenantPage) -> FirstRun:
    """Return how far the tenant has come."""
    tenant = page.tenant
    has_version = ModelVersion.objects.for_tenant(tenant).exists()
    has_predicted = was_served(tenant) or VersionUse.objects.for_tenant(tenant).exists()
    if has_version and has_predicted:
        return FirstRun(has_data=True, has_version=True, has_predicted=True)
    dataset = Dataset.objects.for_tenant(tenant).defer("preview").order_by("-created_at").first()
    models = RegisteredModel.objects.for_tenant(tenant).filter(active_version__isnull=False)
    active = models.order_by("-updated_at").values_list("name", "active_version__number").first()
    return FirstRun(
        has_data=has_version or dataset is not None,
        has_version=has_version,
        has_predicted=has_predicted,
        dataset=dataset,
        train_url=train_url(page, dataset=dataset.pk if dataset else None),
        try_url=page.url("version", *active) if active else page.url("models"),
    )


@tenant_action(Permission.DEVELOP)
def add_sample(page: TenantPage) -> HttpResponse:
    """Add the sample table, or find the one that is there, and go on to training with it."""
    dataset = Dataset.objects.for_tenant(page.tenant).filter(name=SAMPLE_NAME).order_by("-created_at").first()
    if dataset is None:
        dataset = create_dataset(
            page.tenant,
            chunks=[sample_table()],
            format=Dataset.Format.CSV,
            filename=SAMPLE_FILE,
            name=SAMPLE_NAME,
            actor=page.actor,
        )
    return HttpResponseRedirect(train_url(page, dataset=dataset.pk))
