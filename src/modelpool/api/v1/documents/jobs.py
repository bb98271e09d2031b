"""Jobs, requests to train and trainers on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

import msgspec

from modelpool.api.v1.documents.texts import Tags
from modelpool.http.bodies import Body
from modelpool.training.models import JobLogLine, TrainerInfo, TrainingJob


class InlineTable(Body, frozen=True):
    """A small table in the request itself; a row has a cell for each column."""

    columns: list[str]
    rows: list[list[Any]]


class TrainRequest(Body, frozen=True):
    """What to train; ``dataset`` names a stored one, ``data`` brings rows, and a form brings a file instead of both."""

    trainer: str
    dataset: UUID | None = None
    data: InlineTable | None = None
    target: str = ""
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    activate: Literal["if_better", "always", "never"] | None = None
    tags: Tags = msgspec.field(default_factory=dict)
    timeout_s: float | None = None
    memory_limit_bytes: int | None = None


class JobErrorDocument(msgspec.Struct, frozen=True):
    """Why a job failed."""

    code: str
    detail: str


class JobDocument(msgspec.Struct, frozen=True):
    """A training job; ``version`` is the number of the version that it made."""

    id: UUID
    tenant: str
    model: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    stage: str
    progress: float
    metrics: dict[str, Any]
    version: int | None
    error: JobErrorDocument | None
    attempt: int
    max_attempts: int
    cancel_requested: bool
    trainer: str
    dataset: UUID | None
    target: str
    params: dict[str, Any]
    activate: str | None
    tags: dict[str, Any]
    timeout_s: float
    memory_limit_bytes: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: str


class LogLineDocument(msgspec.Struct, frozen=True):
    """A line of a job's log; of kind ``metric`` it has the value in ``data``."""

    id: int
    attempt: int
    at: datetime
    kind: str
    text: str
    data: Any


class LogDocument(msgspec.Struct, frozen=True):
    """Lines in order; ask for those ``after`` the last id for more."""

    lines: list[LogLineDocument]
    after: int
    is_complete: bool


class TrainerDocument(msgspec.Struct, frozen=True):
    """A trainer that the workers offer; ``params_schema`` is JSON Schema, draft 2020-12."""

    name: str
    description: str
    params_schema: dict[str, Any]


def present_job(job: TrainingJob, *, tenant: str) -> JobDocument:
    """Return the job as it stands on the wire; its model must be loaded with it."""
    return JobDocument(
        id=job.pk,
        tenant=tenant,
        model=job.model.name,
        state=cast(Any, job.state),
        stage=job.stage,
        progress=job.progress,
        metrics=job.metrics,
        version=job.version_number,
        error=JobErrorDocument(code=job.error_code, detail=job.error_detail) if job.error_code else None,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        cancel_requested=job.cancel_requested,
        trainer=job.trainer,
        dataset=job.dataset_id,
        target=job.target,
        params=job.params,
        activate=job.activate or None,
        tags=job.tags,
        timeout_s=job.timeout_s,
        memory_limit_bytes=job.memory_limit_bytes,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        created_by=job.created_by,
    )


def present_lines(lines: Iterable[JobLogLine]) -> list[LogLineDocument]:
    """Return lines of a log."""
    return [
        LogLineDocument(id=line.id, attempt=line.attempt, at=line.at, kind=line.kind, text=line.text, data=line.data)
        for line in lines
    ]


def present_trainers(rows: Iterable[TrainerInfo]) -> list[TrainerDocument]:
    """Return a list's rows."""
    return [
        TrainerDocument(name=row.name, description=row.description, params_schema=row.params_schema) for row in rows
    ]
