"""Describing datasets in the background: how many rows, which columns."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from msgspec import structs

from modelpool import conf
from modelpool.core.errors import ArtifactCorrupt, DatasetNotFound, StorageQuotaExceeded, StoreUnavailable
from modelpool.storage.models import Artifact
from modelpool.storage.services import copy_to_file, discard_artifact, mark_ready, store_artifact
from modelpool.training.child_tasks import TaskFailed, TaskInterrupted, collect
from modelpool.training.forkserver import ForkServer
from modelpool.training.messages import ProfileRequest, ProfileResult, TableFormat, Task
from modelpool.training.models import Dataset
from modelpool.training.publish import pieces_of
from modelpool.training.work_folders import work_folder

logger = logging.getLogger(__name__)

TIMEOUT_S = 300.0
"""For any file; each byte adds to it, see :func:`timeout_s`."""
RETRY_S = 60.0
_LEAST_BYTES_PER_S = 500_000.0
_TABLE_FILE = "table.parquet"
_SLACK_S = 60.0
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
        _profile(dataset, forks=forks)
    except TaskInterrupted as error:
        logger.info("dataset %s will be described by another worker: %s", dataset.pk, error)
        look_again_later(dataset)
        return False
    except (TaskFailed, ArtifactCorrupt) as error:
        logger.warning("dataset %s cannot be described: %s", dataset.pk, error)
        _record(dataset, ProfileResult(warning=f"The file could not be looked into: {error}"))
    return True


def timeout_s(size_bytes: int) -> float:
    """Return how long describing a file may take: a slow machine reads some megabytes a second, packed ones fewer."""
    return TIMEOUT_S + size_bytes / _LEAST_BYTES_PER_S


def look_again_later(dataset: Dataset, *, warning: str = "") -> None:
    """Give a claimed dataset back, for any worker to take after a pause."""
    waiting = Dataset.unscoped.filter(pk=dataset.pk, columns__isnull=True)
    waiting.update(profile_until=Now() + timedelta(seconds=RETRY_S), warning=warning)


def _claim() -> Dataset | None:
    """Take the oldest for a while; of several workers one is faster, the others look again later."""
    free = Dataset.unscoped.filter(
        Q(profile_until=None) | Q(profile_until__lt=Now()), columns__isnull=True, state=Dataset.State.READY
    )
    dataset: Dataset | None = free.select_related("artifact", "tenant").order_by("created_at").first()
    if dataset is None:
        return None
    until = Now() + timedelta(seconds=timeout_s(dataset.size_bytes) + _SLACK_S)
    return dataset if free.filter(pk=dataset.pk).update(profile_until=until) == 1 else None


def _profile(dataset: Dataset, *, forks: ForkServer) -> None:
    assert dataset.artifact is not None
    with work_folder("profile") as folder:
        copy_to_file(dataset.artifact, folder / "data")
        request = ProfileRequest(
            data=str(folder / "data"),
            format=cast(TableFormat, dataset.format),
            max_unpacked_bytes=int(conf.settings().datasets.max_unpacked),
            table=_TABLE_FILE,
        )
        task = Task(entry="profile", folder=str(folder), memory_limit_bytes=_MEMORY_BYTES, nice=_NICE)
        limit_s = timeout_s(dataset.size_bytes)
        result = collect(forks, task, request=request, result=ProfileResult, timeout_s=limit_s)
        table, note = _keep_table(dataset, folder / _TABLE_FILE) if result.has_table else (None, "")
        warning = "\n".join(filter(None, [result.warning, note]))
        _record(dataset, structs.replace(result, warning=warning), table=table)


def _keep_table(dataset: Dataset, path: Path) -> tuple[Artifact | None, str]:
    """Store the Parquet file; without room for it training reads the original, as it does until then."""
    try:
        return store_artifact(
            dataset.tenant, chunks=pieces_of(path), store=dataset.tenant.store, filename="table.parquet",
            media_type="application/vnd.apache.parquet",
        ), ""  # fmt: skip
    except (StorageQuotaExceeded, StoreUnavailable) as error:
        return None, f"No Parquet copy was kept, training reads the file as it came: {error.detail}"


def _record(dataset: Dataset, result: ProfileResult, *, table: Artifact | None = None) -> None:
    """Write what was found, unless the dataset is gone or somebody else was faster; then its Parquet goes as well."""
    values: dict[str, Any] = {"columns": result.columns, "warning": result.warning, "preview": result.preview}
    if result.n_rows is not None:
        values["n_rows"] = result.n_rows
    if result.format is not None:
        values["format"] = result.format
    try:
        with transaction.atomic():
            unread = Dataset.unscoped.filter(pk=dataset.pk, columns__isnull=True)
            if not unread.update(profile_until=None, table=table, **values):
                raise DatasetNotFound(str(dataset.pk))
            if table is not None:
                mark_ready(table)
    except BaseException as error:
        if table is not None:
            discard_artifact(table)
        if not isinstance(error, DatasetNotFound):
            raise
