"""The change feed: how processes learn of changes without a request to any of them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from modelpool.tenants.models import Change

_LOCK = 0x6D706F6F6C  # PostgreSQL advisory lock of the feed: "mpool"
_KEEP = timedelta(hours=1)

CHANNEL = "modelpool_change"
"""The channel of PostgreSQL on which each commit with a change is announced, without saying which."""


def publish_change(kind: Change.Kind, *, ref: str, tenant_id: UUID | None) -> None:
    """Append to the feed inside the caller's transaction, as its last statement where that can be had.

    On PostgreSQL a transaction-wide advisory lock makes ids grow in the order of commits; SQLite has one writer anyway.
    The commit is announced to all who LISTEN; a roll-back announces nothing.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("a change is published in the transaction that makes it")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    Change.objects.create(kind=kind, ref=ref, tenant_id=tenant_id)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


def last_change_id() -> int:
    """Return the id of the newest entry, 0 for an empty feed."""
    return Change.objects.order_by("-id").values_list("id", flat=True).first() or 0


def changes_after(last_id: int, *, limit: int = 1000) -> list[Change]:
    """Return entries newer than ``last_id``, oldest first."""
    return list(Change.objects.filter(id__gt=last_id).order_by("id")[:limit])


def prune_changes() -> int:
    """Delete entries that every process has long read; the newest stays, so that ids never start again."""
    newest = last_change_id()
    deleted, _ = Change.objects.filter(at__lt=timezone.now() - _KEEP, id__lt=newest).delete()
    return deleted
