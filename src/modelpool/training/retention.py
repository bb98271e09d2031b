"""How long datasets are kept."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from modelpool import conf
from modelpool.core.errors import Conflict, DatasetNotFound, InvalidField
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.training.models import Dataset

logger = logging.getLogger(__name__)

_AT_ONCE = 1000
_DAY_S = 86_400.0
_ACTOR = Actor(kind="system", id="", label="retention")


def default_expiry(tenant: Tenant) -> datetime | None:
    """Return when a dataset that comes now is deleted, ``None`` for never.

    The tenant's ``dataset_days`` say so, or ``[datasets] keep`` where they are empty.
    """
    days = tenant.dataset_days
    keep_s = float(conf.settings().datasets.keep) if days is None else days * _DAY_S
    return timezone.now() + timedelta(seconds=keep_s) if keep_s else None


def checked_expiry(moment: datetime | None) -> datetime | None:
    """Return the moment in UTC; refuse one that has passed: it would delete at once what was just sent."""
    try:
        if moment is None or (moment.tzinfo is not None and moment > timezone.now()):
            return moment and moment.astimezone(UTC)
    except OverflowError:
        """Beyond the calendar of UTC."""
    raise InvalidField("expires_at", "must be a moment in the future, with its zone: 2030-01-31T00:00:00Z.")


def delete_expired() -> int:
    """Delete the datasets whose time has come and return how many; what a job still needs waits for the next time."""
    deleted = 0
    due = Dataset.unscoped.filter(expires_at__lte=Now()).select_related("tenant").order_by("expires_at")
    for dataset in due[:_AT_ONCE]:
        with suppress(Conflict, DatasetNotFound):
            deleted += _delete_if_due(dataset)
    if deleted:
        logger.info("%s expired datasets were deleted", deleted)
    return deleted


def _delete_if_due(dataset: Dataset) -> bool:
    """Look again with the row locked: somebody may have said since that it stays."""
    from modelpool.training.services import delete_dataset  # it creates datasets, which asks this module

    with transaction.atomic():
        rows = Dataset.objects.for_tenant(dataset.tenant_id).select_for_update()
        if rows.filter(pk=dataset.pk, expires_at__lte=Now()).first() is None:
            return False
        delete_dataset(dataset, actor=_ACTOR)
    return True
