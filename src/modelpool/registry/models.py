"""Tables of models: the pool of versions, its names, and the pointer to the active one."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from modelpool.storage.models import Artifact
from modelpool.tenants.fields import JSONField
from modelpool.tenants.models import NAME_REGEX, TenantOwned


class RegisteredModel(TenantOwned):
    """A name under which a tenant keeps versions.

    ``last_number`` is the counter of versions; ``active_version`` the pointer that decides who answers: zero or one, at
    every instant. Both are moved by single UPDATEs only (``registry.services``).
    """

    name = models.CharField(max_length=63)
    description = models.TextField(blank=True)
    policy = JSONField(default=dict)
    store = models.CharField(max_length=63, blank=True, help_text="Alias; empty means the tenant's.")
    tags = JSONField(default=dict, blank=True)
    last_number = models.IntegerField(default=0)
    active_version = models.ForeignKey(
        "ModelVersion", on_delete=models.RESTRICT, null=True, blank=True, related_name="+"
    )
    traffic = JSONField(null=True, blank=True, help_text="A rule; see modelpool.registry.traffic_rules.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    created_by = models.CharField(max_length=200, blank=True)

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_model"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "name"], name="model_name_once_per_tenant"),
            models.CheckConstraint(condition=models.Q(name__regex=NAME_REGEX), name="model_name_is_valid"),
        ]
        indexes: ClassVar = [models.Index(fields=["tenant", "-created_at"], name="model_by_tenant")]

    def __str__(self) -> str:
        return self.name


class ModelVersion(TenantOwned):
    """One immutable model: its files, what it takes and gives, and where it came from.

    ``artifact`` is the file as trained or uploaded; ``compiled`` the proven-equal faster form, if there is one;
    ``serving_format`` says which of them answers. A deleted version stays as a row without files, so that its number is
    never used again.
    """

    class State(models.TextChoices):
        """Where in its life a version is; only ready ones answer."""

        PENDING = "pending"
        READY = "ready"
        FAILED = "failed"
        DELETED = "deleted"

    class Trust(models.TextChoices):
        """Where the files came from, which decides where they may be loaded."""

        TRAINED = "trained"
        UPLOADED_DATA = "uploaded-data"
        UPLOADED_CODE = "uploaded-code"
        QUARANTINED = "quarantined"

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="+")
    number = models.IntegerField()
    state = models.CharField(max_length=16, choices=State.choices, default=State.READY)
    trust = models.CharField(max_length=16, choices=Trust.choices, default=Trust.UPLOADED_DATA)
    description = models.TextField(blank=True)
    format = models.CharField(max_length=32)
    serving_format = models.CharField(max_length=32)
    artifact = models.ForeignKey(Artifact, on_delete=models.RESTRICT, related_name="+", null=True)
    compiled = models.ForeignKey(Artifact, on_delete=models.RESTRICT, related_name="+", null=True, blank=True)
    size_bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    signature = JSONField()
    parity = JSONField(null=True, blank=True)
    metrics = JSONField(default=dict, blank=True)
    primary_metric = models.CharField(max_length=64, blank=True)
    primary_mode = models.CharField(max_length=3, default="max")
    params = JSONField(default=dict, blank=True)
    tags = JSONField(default=dict, blank=True)
    figures = JSONField(default=dict, blank=True)
    libraries = JSONField(default=dict, blank=True, help_text="Library name to version, at training.")
    job_id = models.UUIDField(null=True, blank=True)
    dataset_id = models.UUIDField(null=True, blank=True)
    copied_from = JSONField(null=True, blank=True, help_text="Of a copy; see modelpool.registry.copying.Origin.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=200, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    manifest = models.BinaryField(null=True, help_text="What its maker signed; see modelpool.core.manifests.")
    manifest_signature = models.BinaryField(null=True)
    manifest_key = models.CharField(max_length=32, blank=True, default="", db_default="", help_text="Id of the key.")
    quarantined_at = models.DateTimeField(null=True, blank=True)
    quarantine_code = models.CharField(max_length=16, blank=True, default="", db_default="")
    quarantine_reason = models.CharField(max_length=500, blank=True, default="", db_default="")
    quarantined_by = models.CharField(max_length=200, blank=True, default="", db_default="")

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_model_version"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "number"], name="version_number_once_per_model"),
            models.UniqueConstraint(
                fields=["job_id"], condition=models.Q(job_id__isnull=False), name="one_version_per_job"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "model", "-number"], name="version_by_model"),
            models.Index(
                fields=["tenant", "quarantined_at"],
                condition=models.Q(quarantined_at__isnull=False),
                name="version_in_quarantine",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model}/{self.number}"

    @property
    def trust_level(self) -> str:
        """What its maker signed it as, or that it is in quarantine."""
        return self.Trust.QUARANTINED.value if self.quarantined_at else self.trust

    @property
    def serving_artifact(self) -> Artifact | None:
        """The file that answers predictions."""
        return self.compiled if self.compiled_id and self.serving_format != self.format else self.artifact


class ModelAlias(TenantOwned):
    """A movable name of a version, such as ``champion``."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=63)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_model_alias"
        constraints: ClassVar = [models.UniqueConstraint(fields=["model", "name"], name="alias_once_per_model")]

    def __str__(self) -> str:
        return self.name


class Activation(TenantOwned):
    """The history of the pointer: what was activated when, by whom and why.

    Entries are numbered per model by ``sequence``, whatever the clocks say. ``below`` is the entry that rolling back
    returns to: for an activation the one that was on top, for a roll-back what lay below its target. So the entries
    are a stack that never forgets: A, B, C, back to B, back to A.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="+")
    sequence = models.IntegerField()
    below = models.IntegerField(null=True)
    number = models.IntegerField(null=True)
    previous = models.IntegerField(null=True)
    reason = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now, editable=False)
    by = models.CharField(max_length=200, blank=True)

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_activation"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "sequence"], name="activation_once_per_sequence")
        ]
        indexes: ClassVar = [models.Index(fields=["model", "-at"], name="activation_by_model")]

    def __str__(self) -> str:
        return f"{self.previous} → {self.number}"
