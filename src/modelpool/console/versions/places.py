"""From an address to a version: what is not there for the tenant of the page is 404."""

from __future__ import annotations

from typing import Any

from django.http import Http404

from modelpool.console.models.places import model_of
from modelpool.console.pages import TenantPage
from modelpool.core.errors import DatasetNotFound, VersionNotFound
from modelpool.registry import services
from modelpool.registry.models import ModelVersion
from modelpool.training.models import Dataset
from modelpool.training.querysets import get_dataset

_LARGEST = 2**31 - 1


def version_of(page: TenantPage, model: str, number: int) -> ModelVersion:
    """Return the version with its model and files, or 404, also for one that was deleted."""
    row = model_of(page, model)
    try:
        return services.get_version(row, number if number <= _LARGEST else 0)
    except VersionNotFound as error:
        raise Http404 from error


def dataset_of(version: ModelVersion) -> Dataset | None:
    """Return the data that the version was trained on, while they are kept."""
    if version.dataset_id is None:
        return None
    try:
        return get_dataset(version.tenant, version.dataset_id)
    except DatasetNotFound:
        return None


def columns_of(dataset: Dataset | None) -> list[dict[str, Any]]:
    """Return what is known of the columns of the data."""
    return list(dataset.columns or ()) if dataset else []
