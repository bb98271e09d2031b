"""Describing datasets in the background: how many rows, which columns."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import cast

from django.db.models import Q
from django.db.models.functions import Now

from modelpool.core.errors import ArtifactCorrupt
from modelpool.storage.services import copy_to_file
from modelpool.training.child_tasks import TaskFailed, collect
from modelpool.training.forkserver import ForkServer
from modelpool.training.messages import ProfileRequest, ProfileResult, TableFormat, Task
from modelpool.training.models import Dataset
from modelpool.training.work_folders import work_folder

logger = logging.getLogger(__name__)

TIMEOUT_S = 300.0
_CLAIM_S = TIMEOUT_S + 60.0
_MEMORY_BYTES = 2 << 30
_NICE = 15


def profile_next(forks: ForkServer) -> bool:
    """Describe one dataset that nobody has described yet; ``False`` when there is none.

    A failure is recorded as the dataset's ``warning``, with an empty list of columns, so that it is not tried again.
    """
    dataset = _claim()
    if dataset is None:
        return False
    try:
        result = _profile(dataset, forks=forks)
    except (TaskFailed, ArtifactCorrupt) as error:
        logger.warning("dataset %s cannot be described: %s", dataset.pk, error)
        result = ProfileResult(warning=f"The file could not be looked into: {error}")
    values = {"columns": result.columns, "warning": result.warning, "profile_until": None}
    n_rows = dataset.n_rows if result.n_rows is None else result.n_rows
    Dataset.unscoped.filter(pk=dataset.pk, columns__isnull=True).update(n_rows=n_rows, **values)
    return True


def _claim() -> Dataset | None:
    """Take the oldest for a while; of several workers one is faster, the others look again later."""
    free = Dataset.unscoped.filter(Q(profile_until=None) | Q(profile_until__lt=Now()), columns__isnull=True)
    dataset: Dataset | None = free.select_related("artifact").order_by("created_at").first()
    if dataset is None or free.filter(pk=dataset.pk).update(profile_until=Now() + timedelta(seconds=_CLAIM_S)) != 1:
        return None
    return dataset


def _profile(dataset: Dataset, *, forks: ForkServer) -> ProfileResult:
    with work_folder("profile") as folder:
        copy_to_file(dataset.artifact, folder / "data")
        request = ProfileRequest(data=str(folder / "data"), format=cast(TableFormat, dataset.format))
        task = Task(entry="profile", folder=str(folder), memory_limit_bytes=_MEMORY_BYTES, nice=_NICE)
        return collect(forks, task, request=request, result=ProfileResult, timeout_s=TIMEOUT_S)
