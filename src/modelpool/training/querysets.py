"""Questions about datasets, jobs and trainers."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from modelpool.core.errors import DatasetNotFound, InvalidField, JobNotFound, NotFound
from modelpool.storage.models import Artifact
from modelpool.tenants.models import Tenant
from modelpool.training.models import Dataset, JobLogLine, TrainerInfo, TrainerProblem, TrainingJob


def get_dataset(tenant: Tenant, dataset_id: UUID | str) -> Dataset:
    """Return the tenant's dataset, or raise :class:`DatasetNotFound`, also for another tenant's."""
    key = _as_uuid(dataset_id)
    row: Dataset | None = Dataset.objects.for_tenant(tenant).filter(pk=key).first() if key else None
    if row is None:
        raise DatasetNotFound(str(dataset_id)[:64])
    return row


def dataset_file(dataset: Dataset, which: str) -> tuple[Artifact, str]:
    """Return the file and its name for whoever downloads it: ``original``, or ``table``, the Parquet of training.

    Raises :class:`InvalidField` for another word and :class:`NotFound` where there is no such file.
    """
    if which not in ("original", "table"):
        raise InvalidField("artifact", f"{which[:80]!r} is not 'original' or 'table'.")
    is_original = which == "original"
    file = dataset.artifact if is_original else dataset.table
    if file is None:
        raise NotFound(f"Dataset {dataset.pk} has no {which} file.")
    suffix = dataset.format if is_original else "parquet"
    return file, (is_original and file.filename) or f"{dataset.pk}.{suffix}"


def get_job(tenant: Tenant, job_id: UUID | str) -> TrainingJob:
    """Return the tenant's job with its model, or raise :class:`JobNotFound`, also for another tenant's."""
    key = _as_uuid(job_id)
    jobs = TrainingJob.objects.for_tenant(tenant).select_related("model")
    row: TrainingJob | None = jobs.filter(pk=key).first() if key else None
    if row is None:
        raise JobNotFound(str(job_id)[:64])
    return row


def job_log(job: TrainingJob, *, after: int = 0, limit: int = 1000) -> list[JobLogLine]:
    """Return lines with an id above ``after``, oldest first, at most ``limit``."""
    return list(JobLogLine.objects.filter(job=job, id__gt=after).order_by("id")[:limit])


def trainers() -> QuerySet[TrainerInfo]:
    """Return the trainers on offer, by name."""
    return TrainerInfo.objects.order_by("name")


def trainer_problems() -> QuerySet[TrainerProblem]:
    """Return the sources of trainers that could not be loaded, for ``modelpool doctor``."""
    return TrainerProblem.objects.order_by("source")


def unfinished_jobs_of(dataset: Dataset) -> QuerySet[TrainingJob]:
    """Return the jobs that still need the dataset."""
    waiting = [TrainingJob.State.QUEUED, TrainingJob.State.RUNNING]
    jobs: QuerySet[TrainingJob] = TrainingJob.objects.for_tenant(dataset.tenant_id).filter(
        dataset=dataset, state__in=waiting
    )
    return jobs


def count_queued(tenant: Tenant) -> int:
    """Return how many of the tenant's jobs wait."""
    count: int = TrainingJob.objects.for_tenant(tenant).filter(state=TrainingJob.State.QUEUED).count()
    return count


def _as_uuid(value: UUID | str) -> UUID | None:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        return None
