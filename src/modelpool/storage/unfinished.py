"""Giving up uploads that are not finished: the rows first, the bytes after, as with every artifact."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from modelpool.storage.models import Artifact, Upload, UploadPart

_AT_ONCE = 100


def expired_uploads() -> QuerySet[Upload]:
    """Return the uploads that nobody sent to for too long, by the database's clock."""
    return Upload.unscoped.filter(expires_at__lt=Now())


def drop_expired() -> int:
    """Delete expired uploads and mark the artifacts of their parts deleted; return how many there were."""
    dropped = 0
    for pk in list(expired_uploads().values_list("pk", flat=True)[:_AT_ONCE]):
        with transaction.atomic():
            if (upload := expired_uploads().select_for_update().filter(pk=pk).first()) is not None:
                forget(upload)
                dropped += 1
    return dropped


def forget(upload: Upload) -> list[Artifact]:
    """Delete a locked upload and its parts in the caller's transaction; return the artifacts, marked deleted."""
    parts = UploadPart.objects.for_tenant(upload.tenant_id).filter(upload_id=upload.pk)
    artifacts = [part.artifact for part in parts.select_related("artifact")]
    ids: list[UUID] = [artifact.pk for artifact in artifacts]
    parts.delete()
    Upload.objects.for_tenant(upload.tenant_id).filter(pk=upload.pk).delete()
    for at in range(0, len(ids), 500):
        rows = Artifact.objects.for_tenant(upload.tenant_id).filter(pk__in=ids[at : at + 500])
        rows.update(state=Artifact.State.DELETED, deleted_at=Now())
    return artifacts
