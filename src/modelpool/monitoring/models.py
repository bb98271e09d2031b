"""Tables of what web processes see: use of versions by day, and what each process holds in memory.

Rows are written by processes that may be behind the registry by a moment, so nothing in the database ties them to a
version that may just have been deleted; what is left over is pruned.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from modelpool.core.served import N_TIMES
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.tenants.models import TenantOwned


class VersionUse(TenantOwned):
    """How many requests a version answered on one day (UTC), over all processes."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    day = models.DateField()
    requests = models.BigIntegerField(default=0)

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_version_use"
        constraints: ClassVar = [models.UniqueConstraint(fields=["version", "day"], name="version_use_once_per_day")]
        indexes: ClassVar = [models.Index(fields=["day", "-requests"], name="version_use_by_day")]

    def __str__(self) -> str:
        return f"{self.requests} on {self.day}"


class ServingProcess(models.Model):
    """A web process that holds models; ``seen_at`` is its last sign of life."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now, db_index=True)
    budget_bytes = models.BigIntegerField(default=0)
    held_bytes = models.BigIntegerField(default=0)
    n_models = models.IntegerField(default=0)

    class Meta:
        db_table = "modelpool_serving_process"

    def __str__(self) -> str:
        return f"{self.node} {self.pid}"


class LoadedVersion(TenantOwned):
    """A version in the memory of one web process."""

    process = models.ForeignKey(ServingProcess, on_delete=models.CASCADE, related_name="+")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    size_bytes = models.BigIntegerField()
    since = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_loaded_version"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["process", "version"], name="loaded_once_per_process"),
        ]

    def __str__(self) -> str:
        return f"{self.version_id} in {self.process_id}"


class TrafficFigures(TenantOwned):
    """How a version did within one experiment in one hour, over all processes; see ``core.comparisons.Figures``.

    ``against`` is 0 for a version that answered, otherwise the version whose answers the shadow's were compared with.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    rule = models.UUIDField()
    hour = models.DateTimeField()
    version = models.IntegerField()
    against = models.IntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    dropped = models.BigIntegerField(default=0)
    rows = models.BigIntegerField(default=0)
    differing = models.BigIntegerField(default=0)
    values = models.BigIntegerField(default=0)
    difference_sum = models.FloatField(default=0.0)
    difference_max = models.FloatField(default=0.0)
    latency = models.JSONField(default=dict)
    main_latency = models.JSONField(default=dict)

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_traffic_figures"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model", "rule", "hour", "version", "against"], name="traffic_figures_once_per_hour"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["hour"], name="traffic_figures_by_hour")]

    def __str__(self) -> str:
        return f"{self.version} in {self.rule}"


class ServedSpan(TenantOwned):
    """What a version was asked in one minute or hour on one node; see ``core.served``.

    ``source`` is the node, which replaces what it said of a span before. Answers are counted by how long they took in
    columns, so that the database adds them up: ``time_00`` is the first range.
    """

    source = models.UUIDField()
    seconds = models.IntegerField()
    start = models.DateTimeField()
    model = models.ForeignKey(RegisteredModel, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    version = models.IntegerField()
    requests = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_served_span"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "seconds", "start", "model", "version", "source"], name="served_span_once_per_source"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["seconds", "start"], name="served_span_by_start")]

    def __str__(self) -> str:
        return f"{self.requests} from {self.start}"


TIME_FIELDS = tuple(f"time_{at:02}" for at in range(N_TIMES))
"""The columns of :class:`ServedSpan` that count answers by how long they took."""

for _name in TIME_FIELDS:
    ServedSpan.add_to_class(_name, models.BigIntegerField(default=0))
