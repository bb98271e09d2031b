"""Uploads in pieces: begun, continued, looked at, given up, and at last made something of, exactly once.

Each piece becomes an artifact of its own in the tenant's store: bytes first, then in one transaction the part's row,
its artifact ready, and the upload's new offset. That transaction holds the upload's row and looks whether the offset is
still the one that the piece began at; of two requests at once one is refused, whichever node takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from modelpool import conf
from modelpool.core.errors import (
    Conflict,
    ModelpoolError,
    QuotaExceeded,
    StorageQuotaExceeded,
    TenantNotFound,
    TooLarge,
)
from modelpool.core.upload_errors import OffsetMismatch, UploadExpired, UploadNotFound, UploadUnfinished
from modelpool.storage.failpoints import reach
from modelpool.storage.models import Artifact, Upload, UploadPart
from modelpool.storage.quotas import storage_quota, storage_used
from modelpool.storage.reading import open_artifact
from modelpool.storage.services import discard_artifact, mark_ready, store_artifact
from modelpool.storage.sweeping import remove_bytes
from modelpool.storage.unfinished import forget
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant

MAX_PARTS = 10_000


def max_length() -> int:
    """Return how long an upload may be: as long as the longest file that anything can be made of."""
    limits = conf.settings().limits
    return int(max(limits.max_upload, limits.max_dataset))


def begin_upload(
    tenant: Tenant,
    *,
    length: int,
    actor: Actor,
    metadata: str = "",
    filename: str = "",
    media_type: str = "",
    in_transaction: Callable[[Upload], None] | None = None,
) -> Upload:
    """Make an empty upload of ``length`` bytes.

    Raises :class:`TooLarge`, :class:`StorageQuotaExceeded` where there is no room for it now, and
    :class:`QuotaExceeded` when the tenant has too many unfinished ones.
    """
    if length > max_length():
        raise TooLarge(max_length(), "upload")
    with transaction.atomic():
        locked = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant.pk).first()
        if locked is None:
            raise TenantNotFound(tenant.name)
        _check_room(locked, length)
        upload: Upload = Upload.objects.create(
            tenant=tenant,
            length=length,
            metadata=metadata,
            filename=filename[:200],
            media_type=media_type[:100],
            created_by=actor.label[:200],
            expires_at=_expiry(),
        )
        audit.record("upload.create", actor=actor, tenant=tenant, target=str(upload.pk), details={"size_bytes": length})
        if in_transaction is not None:
            in_transaction(upload)
    return upload


def get_upload(tenant: Tenant, upload_id: UUID) -> Upload:
    """Return the upload; raise :class:`UploadNotFound`, or :class:`UploadExpired` until the sweep has taken it."""
    upload: Upload | None = Upload.objects.for_tenant(tenant).select_related("tenant").filter(pk=upload_id).first()
    if upload is None:
        raise UploadNotFound(str(upload_id))
    if upload.expires_at < timezone.now():
        raise UploadExpired(str(upload_id))
    return upload


def append(upload: Upload, *, offset: int, chunks: Iterable[bytes]) -> Upload:
    """Keep the bytes as the next part and return the upload with its new offset.

    ``chunks`` must be bounded: ``[uploads] part_size`` or little more. Raises :class:`OffsetMismatch`,
    :class:`TooLarge` past the upload's length, and :class:`StorageQuotaExceeded`; nothing of them is kept then.
    """
    if offset != upload.offset:
        raise OffsetMismatch(offset, upload.offset)
    if upload.n_parts >= MAX_PARTS:
        raise Conflict(f"The upload came in {MAX_PARTS} pieces already; begin anew, and send larger ones.")
    artifact = store_artifact(
        upload.tenant, chunks=chunks, store=upload.tenant.store, limit_bytes=upload.length - offset
    )
    try:
        return _add_part(upload, offset=offset, artifact=artifact)
    except BaseException:
        discard_artifact(artifact)
        raise


def delete_upload(upload: Upload, *, actor: Actor) -> None:
    """Give the upload up, with its bytes."""
    with transaction.atomic():
        artifacts = forget(_lock(upload))
        audit.record("upload.delete", actor=actor, tenant=upload.tenant, target=str(upload.pk))
        transaction.on_commit(lambda: _remove(artifacts))


def whole_upload(tenant: Tenant, upload_id: UUID) -> Upload:
    """Return an upload whose bytes are all there; raise :class:`UploadUnfinished` otherwise."""
    upload = get_upload(tenant, upload_id)
    if upload.offset < upload.length:
        raise UploadUnfinished(str(upload_id), upload.offset, upload.length)
    return upload


def chunks_of(upload: Upload, *, on_chunk: Callable[[], None] | None = None) -> Iterator[bytes]:
    """Yield the bytes in order, each part verified; raise :class:`UploadNotFound` when it is used up meanwhile."""
    parts = UploadPart.objects.for_tenant(upload.tenant_id).filter(upload_id=upload.pk).select_related("artifact")
    found = list(parts.order_by("number"))
    if sum(part.artifact.size_bytes for part in found) != upload.length:
        raise UploadNotFound(str(upload.pk))
    try:
        for part in found:
            with open_artifact(part.artifact) as pieces:
                for piece in pieces:
                    if on_chunk is not None:
                        on_chunk()
                    yield piece
    except ModelpoolError:
        if not Upload.objects.for_tenant(upload.tenant_id).filter(pk=upload.pk).exists():
            raise UploadNotFound(str(upload.pk)) from None
        raise


def use_up(upload: Upload) -> None:
    """Delete the upload in the transaction of what was made of it; raise :class:`UploadNotFound` for the second."""
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("an upload is used up in the transaction of what is made of it")
    artifacts = forget(_lock(upload))
    transaction.on_commit(lambda: _remove(artifacts))


def _check_room(tenant: Tenant, length: int) -> None:
    limit = conf.settings().uploads.max_unfinished
    if Upload.objects.for_tenant(tenant).filter(expires_at__gte=Now()).count() >= limit:
        raise QuotaExceeded(f"{limit} uploads of the tenant are unfinished, which is its quota; finish or delete one.")
    free = storage_quota(tenant) - storage_used(tenant)
    if length > free:
        raise StorageQuotaExceeded(
            f"The upload has {length} bytes, and {max(free, 0)} are free of the tenant's storage quota of "
            f"{storage_quota(tenant)} bytes. Delete versions or datasets, or ask for more."
        )


def _add_part(upload: Upload, *, offset: int, artifact: Artifact) -> Upload:
    reach("upload.stored")
    with transaction.atomic():
        locked = _lock(upload)
        if locked.offset != offset:
            raise OffsetMismatch(offset, locked.offset)
        UploadPart.objects.create(tenant_id=locked.tenant_id, upload=locked, number=locked.n_parts, artifact=artifact)
        mark_ready(artifact)
        locked.offset += artifact.size_bytes
        locked.n_parts += 1
        locked.expires_at = _expiry()
        locked.save(update_fields=["offset", "n_parts", "expires_at"])
        reach("upload.moved")
    reach("upload.kept")
    return locked


def _lock(upload: Upload) -> Upload:
    rows = Upload.objects.for_tenant(upload.tenant_id).select_for_update().filter(pk=upload.pk)
    locked: Upload | None = rows.first()
    if locked is None:
        raise UploadNotFound(str(upload.pk))
    locked.tenant = upload.tenant
    return locked


def _remove(artifacts: list[Artifact]) -> None:
    for artifact in artifacts:
        with suppress(DatabaseError):
            remove_bytes(artifact)


def _expiry() -> datetime:
    return timezone.now() + timedelta(seconds=float(conf.settings().uploads.expire_after))
