"""Tables of tenants, people, keys, the audit trail and the change feed."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

from modelpool.core.names import NAME_PATTERN
from modelpool.tenants.querysets import TenantManager
from modelpool.tenants.roles import TENANT_ROLES, Role

NAME_REGEX = rf"^{NAME_PATTERN}$"


class User(AbstractUser):
    """A person who signs in to the console; a superuser is an operator of the installation."""

    class Meta(AbstractUser.Meta):
        db_table = "modelpool_user"

    @property
    def is_operator(self) -> bool:
        """Whether this person runs the installation."""
        return self.is_active and self.is_superuser


class Tenant(models.Model):
    """A customer, team or department: the owner of models, jobs, datasets and keys."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
    display_name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True, help_text="A suspended tenant's keys and people are refused.")
    store = models.CharField(max_length=63, default="default", help_text="Alias of the artifact store.")
    default_policy = models.JSONField(default=dict, blank=True, help_text="Activation policy of new models.")
    max_storage_bytes = models.BigIntegerField(null=True, blank=True)
    max_models = models.IntegerField(null=True, blank=True)
    max_queued_jobs = models.IntegerField(null=True, blank=True)
    dataset_days = models.IntegerField(null=True, blank=True, help_text="How long new datasets are kept; 0: for good.")
    predictions_per_second = models.FloatField(null=True, blank=True)
    burst = models.IntegerField(null=True, blank=True, help_text="Predictions at once, after a rest.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "modelpool_tenant"
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(name__regex=NAME_REGEX), name="tenant_name_is_valid"),
        ]
        indexes: ClassVar = [models.Index(fields=["created_at", "id"], name="tenant_by_creation")]

    def __str__(self) -> str:
        return self.name


class TenantOwned(models.Model):
    """Base of every table whose rows belong to one tenant."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")

    objects: ClassVar[TenantManager[Any]] = TenantManager()
    unscoped: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True
        base_manager_name = "unscoped"


class Member(TenantOwned):
    """A person's role in a tenant."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=16, choices=[(role.value, role.label) for role in TENANT_ROLES])
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_member"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "user"], name="member_once_per_tenant"),
            models.CheckConstraint(
                condition=models.Q(role__in=[r.value for r in TENANT_ROLES]), name="member_role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant}"


class APIKey(models.Model):
    """A secret that programs send; only its digest is stored.

    ``tenant`` is empty for an operator's key. ``prefix`` is the recognisable beginning of the secret, for people.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", null=True, blank=True)
    name = models.CharField(max_length=200, blank=True)
    role = models.CharField(max_length=16, choices=Role.choices)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the secret, hexadecimal.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[TenantManager[Any]] = TenantManager()
    unscoped: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        db_table = "modelpool_api_key"
        base_manager_name = "unscoped"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(tenant__isnull=True, role=Role.OPERATOR)
                | (models.Q(tenant__isnull=False) & ~models.Q(role=Role.OPERATOR)),
                name="only_operator_keys_have_no_tenant",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["tenant", "-created_at"], name="api_key_by_tenant")]

    def __str__(self) -> str:
        return f"{self.prefix}…"


class AuditEvent(models.Model):
    """Who changed what, when and from where; rows are only ever added (a database trigger refuses the rest)."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=timezone.now, editable=False)
    tenant_id = models.UUIDField(null=True, db_index=True)
    tenant_name = models.CharField(max_length=63, blank=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)
    action = models.CharField(max_length=64)
    target = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict, blank=True)
    outcome = models.CharField(max_length=16, default="done")
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        db_table = "modelpool_audit_event"
        indexes: ClassVar = [models.Index(fields=["tenant_id", "-id"], name="audit_by_tenant")]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"


class Change(models.Model):
    """One entry of the change feed; ids grow in the order of commits, so who remembers the last misses none."""

    class Kind(models.TextChoices):
        """What changed: a ``key`` (by digest), a ``model`` (by id), or a whole ``tenant`` (by id)."""

        KEY = "key"
        MODEL = "model"
        TENANT = "tenant"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=timezone.now, editable=False)
    tenant_id = models.UUIDField(null=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    ref = models.CharField(max_length=64)

    class Meta:
        db_table = "modelpool_change"

    def __str__(self) -> str:
        return f"{self.id} {self.kind} {self.ref}"


class CacheEntry(models.Model):
    """The table of Django's database cache: what processes count together, such as guesses of a password."""

    cache_key = models.CharField(max_length=255, primary_key=True)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "modelpool_cache"

    def __str__(self) -> str:
        return self.cache_key
