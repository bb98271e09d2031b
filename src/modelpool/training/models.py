"""Tables of training: datasets, the leased queue of jobs, their logs, the workers, and the trainers they offer."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from modelpool.registry.models import RegisteredModel
from modelpool.storage.models import Artifact
from modelpool.tenants.fields import JSONField
from modelpool.tenants.models import TenantOwned


class Dataset(TenantOwned):
    """A table to train on; inline rows and files sent with a request become one as well.

    ``columns`` (name, dtype, missing, …) and ``n_rows`` are computed by a worker: the web process does not parse files.
    Until then they are ``None``; where the file cannot be read, ``columns`` is empty and ``warning`` says why.
    ``artifact`` is the file as it came; ``table`` the same as Parquet, which training reads where it is there. A
    dataset with an ``origin`` (a query or an object of the operator's, see :mod:`modelpool.training.fetching`) is
    ``pending``, without a file, until a worker has fetched it.
    """

    class State(models.TextChoices):
        """Whether there is a file."""

        PENDING = "pending"
        READY = "ready"
        FAILED = "failed"

    class Format(models.TextChoices):
        """How the file is written."""

        CSV = "csv"
        PARQUET = "parquet"
        JSONL = "jsonl"
        JSON = "json"
        ARROW = "arrow"

    name = models.CharField(max_length=200, blank=True)
    format = models.CharField(max_length=16, choices=Format.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.READY)
    origin = JSONField(null=True)
    artifact = models.ForeignKey(Artifact, on_delete=models.RESTRICT, null=True, related_name="+")
    table = models.ForeignKey(Artifact, on_delete=models.RESTRICT, null=True, related_name="+")
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64, blank=True)
    n_rows = models.BigIntegerField(null=True)
    columns = JSONField(null=True)
    preview = JSONField(null=True)
    warning = models.TextField(blank=True)
    profile_until = models.DateTimeField(null=True, editable=False, help_text="Until then a worker is busy reading it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField(null=True, help_text="When it is deleted; never while a job needs it.")

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_dataset"
        indexes: ClassVar = [
            models.Index(fields=["tenant", "-created_at"], name="dataset_by_tenant"),
            models.Index(fields=["created_at"], name="dataset_unread", condition=models.Q(columns__isnull=True)),
            models.Index(fields=["expires_at"], name="dataset_expiry", condition=models.Q(expires_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name or str(self.pk)


class TrainingJob(TenantOwned):
    """One request to train, which is also its place in the queue.

    A worker claims a queued job by raising ``fence`` and ``attempt`` and setting ``lease_until``; every later write of
    that attempt carries the fence, so a worker that lost its lease can no longer change anything. An expired lease
    puts the job back in the queue, or fails it when its attempts are spent.
    """

    class State(models.TextChoices):
        """Where a job is; the last three are final."""

        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    FINAL: ClassVar = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="+")
    dataset = models.ForeignKey(Dataset, on_delete=models.SET_NULL, null=True, related_name="+")
    trainer = models.CharField(max_length=63)
    target = models.CharField(max_length=200, blank=True)
    params = JSONField(default=dict)
    activate = models.CharField(
        max_length=16, blank=True, help_text="if_better, always, never; empty: the model's policy decides."
    )
    tags = JSONField(default=dict)
    timeout_s = models.FloatField()
    memory_limit_bytes = models.BigIntegerField()

    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    stage = models.CharField(max_length=100, blank=True)
    progress = models.FloatField(default=0.0)
    metrics = JSONField(default=dict)
    version_number = models.IntegerField(null=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_detail = models.TextField(blank=True)
    cancel_requested = models.BooleanField(default=False)

    attempt = models.IntegerField(default=0)
    max_attempts = models.IntegerField(default=3)
    fence = models.IntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True)
    run_after = models.DateTimeField(default=timezone.now)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    created_by = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_training_job"
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(progress__gte=0, progress__lte=1), name="progress_is_a_fraction"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "run_after", "created_at"], name="job_queue"),
            models.Index(fields=["tenant", "-created_at"], name="job_by_tenant"),
            models.Index(fields=["model", "-created_at"], name="job_by_model"),
            models.Index(fields=["state", "tenant", "created_at"], name="job_queue_of_tenant"),
            models.Index(fields=["tenant", "-started_at"], name="job_last_start"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in self.FINAL


class JobLogLine(models.Model):
    """A line of a job's log, or (``kind`` ``metric``) a value of a metric at a step."""

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(TrainingJob, on_delete=models.CASCADE, related_name="+")
    attempt = models.IntegerField()
    at = models.DateTimeField(default=timezone.now, editable=False)
    kind = models.CharField(max_length=16, default="log")
    text = models.TextField()
    data = JSONField(null=True)

    class Meta:
        db_table = "modelpool_job_log_line"
        indexes: ClassVar = [models.Index(fields=["job", "id"], name="log_by_job")]

    def __str__(self) -> str:
        return self.text


class JobWorker(models.Model):
    """A running worker process, as its heartbeat tells."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    host = models.CharField(max_length=200)
    pid = models.IntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "modelpool_job_worker"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class TrainerInfo(models.Model):
    """A trainer that the workers offer; they write it at start, so that the web process need not import its code."""

    name = models.CharField(max_length=63, primary_key=True)
    description = models.TextField(blank=True)
    params_schema = JSONField(default=dict)
    source = models.CharField(max_length=200, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "modelpool_trainer_info"

    def __str__(self) -> str:
        return self.name


class TrainerProblem(models.Model):
    """A source of trainers that could not be loaded, and why; ``modelpool doctor`` shows it."""

    source = models.CharField(max_length=200, primary_key=True)
    detail = models.TextField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "modelpool_trainer_problem"

    def __str__(self) -> str:
        return f"{self.source}: {self.detail}"
