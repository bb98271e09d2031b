"""Every change to datasets and jobs that people ask for: one transaction each, with its audit row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from modelpool import conf
from modelpool.core.errors import (
    Conflict,
    DatasetNotFound,
    InvalidField,
    JobIsFinished,
    JobNotFound,
    ModelNotFound,
    ModelpoolError,
    QuotaExceeded,
    TenantNotFound,
)
from modelpool.registry.limits import check_tags
from modelpool.registry.locking import lock_model
from modelpool.registry.models import RegisteredModel
from modelpool.registry.services import check_activate, get_or_create_model
from modelpool.storage.models import Artifact
from modelpool.storage.services import delete_artifacts, discard_artifact, mark_ready, store_artifact
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.training import catalogue, requests, retention
from modelpool.training.dataset_names import MOST_NAME_CHARS, check_dataset_name
from modelpool.training.engines import JobEngine, get_engine
from modelpool.training.inline_data import encode_inline
from modelpool.training.models import Dataset, TrainingJob
from modelpool.training.querysets import count_queued, get_dataset, get_job, job_log, unfinished_jobs_of

__all__ = [
    "cancel_job",
    "change_dataset",
    "create_dataset",
    "create_inline_dataset",
    "delete_dataset",
    "discarded_on_error",
    "get_dataset",
    "get_job",
    "job_log",
    "refresh_catalogue",
    "submit_job",
]

refresh_catalogue = catalogue.refresh_catalogue

_MEDIA_TYPES = {
    Dataset.Format.CSV: "text/csv",
    Dataset.Format.PARQUET: "application/vnd.apache.parquet",
    Dataset.Format.JSONL: "application/jsonl",
    Dataset.Format.JSON: "application/json",
    Dataset.Format.ARROW: "application/vnd.apache.arrow.file",
}
_RETRY_QUEUED_S = 10.0


def create_dataset(
    tenant: Tenant,
    *,
    chunks: Iterable[bytes],
    format: str,
    actor: Actor,
    filename: str = "",
    name: str = "",
    expires_at: datetime | None = None,
    in_transaction: Callable[[Dataset], None] | None = None,
    expected_sha256: str | None = None,
    replaces_bytes: int = 0,
) -> Dataset:
    """Keep a data file; its rows are looked at later, in a child process of a worker.

    ``in_transaction`` is called with the dataset before the commit, for what must hold together with it.
    Raises :class:`InvalidField` for a ``name`` of several lines, :class:`TooLarge` past ``[limits] max_dataset`` and
    :class:`StorageQuotaExceeded`.
    """
    if format not in Dataset.Format.values:
        raise InvalidField("format", f"{format!r:.80} is not one of {', '.join(Dataset.Format.values)}.")
    check_dataset_name(name)
    expires_at = retention.checked_expiry(expires_at)
    artifact = store_artifact(
        tenant,
        chunks=chunks,
        store=tenant.store,
        filename=filename[:200],
        media_type=_MEDIA_TYPES[Dataset.Format(format)],
        limit_bytes=int(conf.settings().limits.max_dataset),
        expected_sha256=expected_sha256,
        replaces_bytes=replaces_bytes,
    )
    values = {
        "name": (name or filename)[:MOST_NAME_CHARS],
        "format": format,
        "created_by": actor.label[:200],
        "expires_at": expires_at or retention.default_expiry(tenant),
    }
    try:
        return _name_artifact(artifact, values=values, actor=actor, in_transaction=in_transaction)
    except BaseException:
        discard_artifact(artifact)
        raise


def _name_artifact(
    artifact: Artifact, *, values: dict[str, Any], actor: Actor, in_transaction: Callable[[Dataset], None] | None
) -> Dataset:
    """Make the stored file a dataset, whole or not at all."""
    size_bytes, sha256, tenant = artifact.size_bytes, artifact.sha256, artifact.tenant
    if not size_bytes:
        raise InvalidField(
            "data", "the file is empty; send a table with a header line and at least one row.", code="empty"
        )
    with transaction.atomic():
        dataset: Dataset = Dataset.objects.create(
            tenant=tenant, artifact=artifact, size_bytes=size_bytes, sha256=sha256, **values
        )
        mark_ready(artifact)
        details = {"format": values["format"], "size_bytes": size_bytes, "sha256": sha256}
        audit.record("dataset.create", actor=actor, tenant=tenant, target=str(dataset.pk), details=details)
        if in_transaction is not None:
            in_transaction(dataset)
    return dataset


def create_inline_dataset(
    tenant: Tenant,
    *,
    columns: Sequence[Any],
    rows: Sequence[Any],
    actor: Actor,
    name: str = "",
    in_transaction: Callable[[Dataset], None] | None = None,
) -> Dataset:
    """Keep the rows of a request as a dataset of format ``json``; raise :class:`Invalid` that names the wrong row."""
    data = encode_inline(columns=columns, rows=rows, max_bytes=int(conf.settings().limits.max_json))
    return create_dataset(
        tenant,
        chunks=[data],
        format=Dataset.Format.JSON,
        actor=actor,
        filename="inline.json",
        name=name,
        in_transaction=in_transaction,
    )


def change_dataset(
    dataset: Dataset,
    *,
    actor: Actor,
    name: str | None = None,
    expires_at: datetime | None = None,
    is_kept: bool = False,
) -> Dataset:
    """Rename a dataset, or say when it is deleted; ``is_kept`` takes the date away. ``None`` changes nothing."""
    expires_at = retention.checked_expiry(expires_at)
    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = check_dataset_name(name)
    if expires_at is not None or is_kept:
        changes["expires_at"] = expires_at
    with transaction.atomic():
        locked = Dataset.objects.for_tenant(dataset.tenant_id).select_for_update(no_key=True).filter(pk=dataset.pk)
        row: Dataset | None = locked.first()
        if row is None:
            raise DatasetNotFound(str(dataset.pk))
        Dataset.objects.for_tenant(dataset.tenant_id).filter(pk=row.pk).update(**changes)
        details = {key: str(value) for key, value in changes.items()}
        audit.record("dataset.change", actor=actor, tenant=dataset.tenant, target=str(row.pk), details=details)
        row.refresh_from_db()
    return row


def delete_dataset(dataset: Dataset, *, actor: Actor) -> None:
    """Delete a dataset and its file; raise :class:`Conflict` while a job still needs it. Versions keep its id."""
    with transaction.atomic():
        locked = Dataset.objects.for_tenant(dataset.tenant_id).select_for_update().filter(pk=dataset.pk).first()
        if locked is None:
            raise DatasetNotFound(str(dataset.pk))
        job = unfinished_jobs_of(locked).first()
        if job is not None:
            raise Conflict(f"Job {job.pk} still needs dataset {dataset.pk}; cancel it or wait for it.")
        audit.record("dataset.delete", actor=actor, tenant=dataset.tenant, target=str(dataset.pk))
        artifacts = [file for file in (locked.artifact, locked.table) if file is not None]
        locked.delete()
        delete_artifacts(artifacts)


@contextmanager
def discarded_on_error(dataset: Dataset, *, actor: Actor) -> Iterator[None]:
    """Delete a dataset that came with a request when the rest of that request fails."""
    try:
        yield
    except BaseException:
        with suppress(ModelpoolError, DatabaseError):
            delete_dataset(dataset, actor=actor)
        raise


def submit_job(
    tenant: Tenant,
    *,
    model: str,
    trainer: str,
    dataset: Dataset,
    actor: Actor,
    target: str = "",
    params: Mapping[str, Any] | None = None,
    activate: str | None = None,
    tags: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
    memory_limit_bytes: int | None = None,
) -> TrainingJob:
    """Queue a training; the model is created when it is new.

    Raises :class:`UnknownTrainer`, :class:`Invalid` naming the wrong fields, :class:`DatasetNotFound` also for another
    tenant's dataset, and :class:`QuotaExceeded` when too many of the tenant's jobs wait already.
    """
    limits = conf.settings().jobs
    requests.check_has_file(dataset)
    check_activate(activate or None)
    info = requests.check_trainer(trainer)
    params = {} if params is None else params
    requests.check_params(params, schema=info.params_schema)
    values: dict[str, Any] = {
        "trainer": trainer,
        "params": dict(params),
        "target": requests.check_target(target, dataset=dataset),
        "activate": activate or "",
        "tags": check_tags({} if tags is None else tags),
        "timeout_s": requests.check_limit(timeout_s, field="timeout_s", ceiling=float(limits.timeout)),
        "memory_limit_bytes": int(
            requests.check_limit(memory_limit_bytes, field="memory_limit_bytes", ceiling=int(limits.memory_limit))
        ),
        "max_attempts": limits.max_attempts,
    }
    return _queue_job(tenant, model=model, dataset=dataset, values=values, actor=actor)


def _queue_job(tenant: Tenant, *, model: str, dataset: Dataset, values: dict[str, Any], actor: Actor) -> TrainingJob:
    with transaction.atomic():
        # The lock makes the count below right: two requests of one tenant cannot both take the last place.
        locked = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant.pk).first()
        if locked is None:
            raise TenantNotFound(tenant.name)
        _check_quota(locked)
        still_there = Dataset.objects.for_tenant(tenant).select_for_update(no_key=True).filter(pk=dataset.pk).exists()
        if not still_there:
            raise DatasetNotFound(str(dataset.pk))
        job: TrainingJob = TrainingJob.objects.create(
            tenant=tenant,
            model=_lock_or_create_model(tenant, name=model, actor=actor),
            dataset=dataset,
            run_after=Now(),
            created_by=actor.label[:200],
            request_id=actor.request_id[:64],
            **values,
        )
        job.refresh_from_db(fields=["run_after"])
        details = {"model": model, "trainer": job.trainer, "dataset": str(dataset.pk)}
        audit.record("job.submit", actor=actor, tenant=tenant, target=str(job.pk), details=details)
        transaction.on_commit(lambda: _engine().submit(job.pk))
    return job


def _lock_or_create_model(tenant: Tenant, *, name: str, actor: Actor) -> RegisteredModel:
    """Return the model, locked: it cannot be deleted before the job refers to it."""
    try:
        return lock_model(get_or_create_model(tenant, name=name, actor=actor))
    except ModelNotFound:  # it was deleted while this waited for the lock; a new one is this transaction's own
        return get_or_create_model(tenant, name=name, actor=actor)


def _check_quota(tenant: Tenant) -> None:
    own = tenant.max_queued_jobs
    limit = conf.settings().limits.tenant_queued_jobs if own is None else own
    if count_queued(tenant) >= limit:
        detail = f"{limit} jobs of tenant {tenant.name!r} wait already, which is its quota"
        raise QuotaExceeded(f"{detail}; wait for one to start, or cancel one.", retry_after_s=_RETRY_QUEUED_S)


def cancel_job(job: TrainingJob, *, actor: Actor) -> TrainingJob:
    """Cancel a waiting job at once; ask the worker of a running one to stop it. Raises :class:`JobIsFinished`."""
    with transaction.atomic():
        current = _lock(job)
        if current.is_final:
            raise JobIsFinished(str(job.pk), current.state)
        current.cancel_requested = True
        if current.state == TrainingJob.State.QUEUED:
            current.state = TrainingJob.State.CANCELLED
            current.finished_at = Now()
        current.save(update_fields=["cancel_requested", "state", "finished_at"])
        audit.record("job.cancel", actor=actor, tenant=current.tenant, target=str(job.pk))
        transaction.on_commit(lambda: _engine().cancel(job.pk))
    current.refresh_from_db()
    return current


def _lock(job: TrainingJob) -> TrainingJob:
    rows = TrainingJob.objects.for_tenant(job.tenant_id).select_for_update(no_key=True)
    row: TrainingJob | None = rows.filter(pk=job.pk).first()
    if row is None:
        raise JobNotFound(str(job.pk))
    return row


def _engine() -> JobEngine:
    return get_engine(conf.settings().jobs.engine)
