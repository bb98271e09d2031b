"""How long datasets are kept."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime, timedelta

from django.db.models.functions import Now
from django.utils import timezone

from modelpool import conf
from modelpool.core.errors import Conflict, DatasetNotFound, InvalidField
from modelpool.tenants.actors import Actor
from modelpool.training.models import Dataset

logger = logging.getLogger(__name__)

_AT_ONCE = 1000
_ACTOR = Actor(kind="system", id="", label="retention")


def default_expiry() -> datetime | None:
    """Return when a dataset that comes now is deleted, ``None`` for never: ``[datasets] keep``."""
    keep_s = float(conf.settings().datasets.keep)
    return timezone.now() + timedelta(seconds=keep_s) if keep_s else None


def check_expiry(moment: datetime | None) -> None:
    """Refuse a date that has passed: it would delete at once what was just sent."""
    if moment is not None and (moment.tzinfo is None or moment <= timezone.now()):
        raise InvalidField("expires_at", "must be a moment in the future, with its zone: 2030-01-31T00:00:00Z.")


def delete_expired() -> int:
    """Delete the datasets whose time has come and return how many; what a job still needs waits for the next time."""
    from modelpool.training.services import delete_dataset  # it creates datasets, which asks this module

    deleted = 0
    due = Dataset.unscoped.filter(expires_at__lte=Now()).select_related("tenant").order_by("expires_at")
    for dataset in due[:_AT_ONCE]:
        with suppress(Conflict, DatasetNotFound):
            delete_dataset(dataset, actor=_ACTOR)
            deleted += 1
    if deleted:
        logger.info("%s expired datasets were deleted", deleted)
    return deleted
