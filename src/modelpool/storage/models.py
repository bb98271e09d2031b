"""Tables of artifacts: which bytes are where, and the bytes themselves for the database store."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from modelpool.tenants.models import TenantOwned

_FRESH = timedelta(seconds=60)


class Artifact(TenantOwned):
    """One immutable file of a tenant: a model or a dataset.

    ``pending`` rows are uploads under way (or interrupted: the sweep removes those after the grace period); ``ready``
    ones are whole and verified; ``deleted`` ones wait for their bytes to be removed.
    """

    class State(models.TextChoices):
        """Where in its life an artifact is."""

        PENDING = "pending"
        READY = "ready"
        DELETED = "deleted"

    store = models.CharField(max_length=63)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    filename = models.CharField(max_length=200, blank=True)
    media_type = models.CharField(max_length=100, default="application/octet-stream")
    object_id = models.UUIDField(
        null=True,
        editable=False,
        db_index=True,
        help_text="What the object is called in its store; empty for the artifact's own id.",
    )
    size_bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    touched_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="When its upload last moved, by the database's clock."
    )
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_artifact"
        indexes: ClassVar = [
            models.Index(fields=["state", "created_at"], name="artifact_by_state"),
            models.Index(fields=["tenant", "state"], name="artifact_by_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.filename or self.key}"

    @property
    def key(self) -> str:
        """The object's key in its store: made of ids, never of what a client sent, never reused."""
        return f"{self.tenant_id.hex}/{(self.object_id or self.pk).hex}"


class Replica(TenantOwned):
    """Another copy of a ready artifact; its id is what the object is called in its store.

    ``copying`` rows are copies under way (or interrupted: nobody touches them any more); ``ready`` ones are whole,
    verified and read when the first copy fails; ``leaving`` ones wait for their bytes to be removed.
    """

    class State(models.TextChoices):
        """Where in its life a replica is."""

        COPYING = "copying"
        READY = "ready"
        LEAVING = "leaving"

    artifact = models.ForeignKey(Artifact, on_delete=models.CASCADE, related_name="+")
    store = models.CharField(max_length=63)
    state = models.CharField(max_length=16, choices=State.choices, default=State.COPYING)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    touched_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="When its copying last moved, or it was left; the database's clock."
    )

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_replica"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["artifact", "store"],
                condition=models.Q(state__in=["copying", "ready"]),
                name="one_replica_in_a_store",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["state", "touched_at"], name="replica_by_state")]

    def __str__(self) -> str:
        return f"{self.artifact_id} in {self.store}"

    @property
    def key(self) -> str:
        """The object's key in its store."""
        return f"{self.tenant_id.hex}/{self.pk.hex}"


class StoredBlob(models.Model):
    """An object of the database store; not ``is_complete`` while its chunks are being written."""

    key = models.CharField(max_length=65, unique=True)
    size_bytes = models.BigIntegerField(default=0)
    is_complete = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    modified_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="Its last write, by the database's clock."
    )

    class Meta:
        db_table = "modelpool_stored_blob"

    def __str__(self) -> str:
        return self.key


class ArtifactChunk(models.Model):
    """One piece, at most 1 MiB, of an object of the database store."""

    blob = models.ForeignKey(StoredBlob, on_delete=models.CASCADE, related_name="chunks")
    number = models.IntegerField()
    data = models.BinaryField()

    class Meta:
        db_table = "modelpool_artifact_chunk"
        constraints: ClassVar = [models.UniqueConstraint(fields=["blob", "number"], name="chunk_once")]

    def __str__(self) -> str:
        return f"{self.blob_id}[{self.number}]"


class StoreMark(models.Model):
    """The marker that this database has seen in the root of a store, so that another volume is not taken for it.

    Objects older than ``since`` that no row names are somebody else's: the sweep leaves them alone.
    """

    alias = models.CharField(max_length=63, primary_key=True)
    mark = models.CharField(max_length=32)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "modelpool_store_mark"

    def __str__(self) -> str:
        return f"{self.alias}: {self.mark}"


class Upload(TenantOwned):
    """A file that arrives in pieces, over as many requests as it takes; gone when something is made of it.

    ``offset`` is the count of bytes that are kept and acknowledged; whoever adds a part moves it, in one transaction.
    """

    length = models.BigIntegerField()
    offset = models.BigIntegerField(default=0)
    n_parts = models.IntegerField(default=0)
    metadata = models.TextField(blank=True, help_text="The header Upload-Metadata as it was sent.")
    filename = models.CharField(max_length=200, blank=True)
    media_type = models.CharField(max_length=100, blank=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_upload"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(offset__gte=0, offset__lte=models.F("length")), name="upload_offset_is_within"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="upload_by_expiry")]

    def __str__(self) -> str:
        return f"{self.pk}: {self.offset} of {self.length}"


class UploadPart(TenantOwned):
    """One piece of an upload: an artifact of its own, so that it is verified, moved and swept as any other."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="+")
    number = models.IntegerField()
    artifact = models.OneToOneField(Artifact, on_delete=models.RESTRICT, related_name="+")

    class Meta(TenantOwned.Meta):
        db_table = "modelpool_upload_part"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["upload", "number"], name="one_part_of_a_number"),
        ]

    def __str__(self) -> str:
        return f"{self.upload_id}/{self.number}"


class StoreTrouble(models.Model):
    """The last failure of a store on one node; ``worked_at`` is when it was seen to work again there."""

    node = models.CharField(max_length=255)
    store = models.CharField(max_length=63)
    failed_at = models.DateTimeField()
    detail = models.CharField(max_length=500)
    worked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "modelpool_store_trouble"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["node", "store"], name="last_trouble_of_a_store_on_a_node"),
        ]

    def __str__(self) -> str:
        return f"{self.store} on {self.node}: {self.detail}"

    @property
    def fails_now(self) -> bool:
        """Whether it failed a moment ago and was not seen to work since: its process looks again and again."""
        works = self.worked_at is not None and self.worked_at >= self.failed_at
        return not works and self.failed_at > timezone.now() - _FRESH
