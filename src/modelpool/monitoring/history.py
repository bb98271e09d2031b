"""The serving history: what versions were asked by the minute and the hour, written by one process of each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from modelpool.core.served import HOUR, MINUTE, Span
from modelpool.monitoring.models import TIME_FIELDS, ServedSpan
from modelpool.tenants.models import Tenant

_COUNTS = ("requests", "refused", "errors", *TIME_FIELDS)
_IDENTITY = ("tenant", "seconds", "start", "model", "version", "source")
_BATCH = 500
_PRUNED_AT_ONCE = 5000


def write_served(source: UUID, totals: Mapping[Span, Sequence[int]]) -> None:
    """Keep the totals of a node, in place of what it said of the same spans before. Those of deleted tenants go."""
    spans = sorted(totals, key=lambda span: (span.tenant_id, span.model_id, span.version, span.seconds, span.start))
    for at in range(0, len(spans), _BATCH):
        some = spans[at : at + _BATCH]
        with transaction.atomic():
            here = set(Tenant.objects.filter(pk__in={span.tenant_id for span in some}).values_list("pk", flat=True))
            rows = [_row(source, span, totals[span]) for span in some if span.tenant_id in here]
            ServedSpan.unscoped.bulk_create(rows, update_conflicts=True, unique_fields=_IDENTITY, update_fields=_COUNTS)


def prune_served(*, minutes_s: float, hours_s: float, now: datetime | None = None) -> None:
    """Delete minutes and hours that are older than they are kept, a few thousand at a time."""
    now = now or timezone.now()
    for seconds, kept_s in ((MINUTE, minutes_s), (HOUR, hours_s)):
        old = ServedSpan.unscoped.filter(seconds=seconds, start__lt=now - timedelta(seconds=kept_s))
        while some := list(old.order_by("start").values_list("pk", flat=True)[:_PRUNED_AT_ONCE]):
            ServedSpan.unscoped.filter(pk__in=some).delete()


def _row(source: UUID, span: Span, counts: Sequence[int]) -> ServedSpan:
    return ServedSpan(
        tenant_id=span.tenant_id,
        model_id=span.model_id,
        source=source,
        version=span.version,
        seconds=span.seconds,
        start=datetime.fromtimestamp(span.start, UTC),
        **dict(zip(_COUNTS, counts, strict=True)),
    )
