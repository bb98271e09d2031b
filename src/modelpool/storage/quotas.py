"""A tenant's quota of bytes, safe against uploads at the same time.

Each upload reserves what it needs in its own pending row, step by step as bytes arrive, each step in one short
transaction that holds the tenant's row: the sum of all rows is the bytes used, so it can never pass the quota.
"""

from __future__ import annotations

import time

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Now

from modelpool import conf
from modelpool.core.errors import Conflict, StorageQuotaExceeded, TenantNotFound
from modelpool.storage.models import Artifact
from modelpool.tenants.models import Tenant

_MIN_STEP = 1 << 20
_MAX_STEP = 64 << 20
_TOUCH_EVERY_S = 30.0


def storage_quota(tenant: Tenant) -> int:
    """Return the bytes that the tenant may store: its own quota, or the installation's."""
    return conf.settings().limits.tenant_storage if tenant.max_storage_bytes is None else tenant.max_storage_bytes


def storage_used(tenant: Tenant) -> int:
    """Return the bytes of the tenant's artifacts, those reserved by uploads under way included."""
    rows = Artifact.objects.for_tenant(tenant).exclude(state=Artifact.State.DELETED)
    return rows.aggregate(total=Sum("size_bytes"))["total"] or 0


class Reservation:
    """What one upload has reserved in its pending row; grows by a quarter of what came, 1 to 64 MiB a step.

    ``replaces_bytes`` are counted already and go in the transaction that makes the artifact ready.
    """

    def __init__(self, artifact: Artifact, *, replaces_bytes: int = 0) -> None:
        self._artifact = artifact
        self._replaces_bytes = replaces_bytes
        self._granted = 0
        self._touched = time.monotonic()

    def cover(self, size_bytes: int) -> None:
        """Make sure that ``size_bytes`` are reserved; raise :class:`StorageQuotaExceeded` when they cannot be."""
        if size_bytes > self._granted or time.monotonic() - self._touched > _TOUCH_EVERY_S:
            step = min(max(size_bytes // 4, _MIN_STEP), _MAX_STEP)
            self._reserve(size_bytes, wish=max(self._granted, size_bytes + step))

    def settle(self, size_bytes: int, *, sha256: str) -> None:
        """Reserve exactly what the file took, and record its digest."""
        self.cover(size_bytes)
        self._write(size_bytes, sha256=sha256)

    def _reserve(self, needed: int, *, wish: int) -> None:
        with transaction.atomic():
            tenant = Tenant.objects.select_for_update(no_key=True).filter(pk=self._artifact.tenant_id).first()
            if tenant is None:
                raise TenantNotFound(self._artifact.tenant.name)
            free = storage_quota(tenant) - (storage_used(tenant) - self._granted) + self._replaces_bytes
            if free < needed:
                raise StorageQuotaExceeded(
                    f"The tenant's storage quota of {storage_quota(tenant)} bytes is used up: {max(free, 0)} bytes are "
                    f"free, at least {needed} are needed. Delete versions or datasets, or ask for more."
                )
            self._write(min(free, wish))

    def _write(self, size_bytes: int, *, sha256: str = "") -> None:
        row = Artifact.objects.for_tenant(self._artifact.tenant_id).filter(
            pk=self._artifact.pk, state=Artifact.State.PENDING
        )
        if not row.update(size_bytes=size_bytes, sha256=sha256, touched_at=Now()):
            raise Conflict("The upload rested for so long that it was cleaned up; send it again.")
        self._granted = size_bytes
        self._touched = time.monotonic()
