"""States of jobs, as pages show them."""

from __future__ import annotations

from datetime import timedelta

from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from modelpool import conf
from modelpool.training.models import JobWorker

STATE_LABELS = {
    "queued": "info",
    "running": "primary",
    "succeeded": "success",
    "failed": "danger",
    "cancelled": "warning",
}
"""Each state with its colour."""

STATE_TEXTS = {
    "queued": _("waiting"),
    "running": _("running"),
    "succeeded": _("succeeded"),
    "failed": _("failed"),
    "cancelled": _("cancelled"),
}
"""Each state as people read it."""

_LEASES = 2


def has_worker() -> bool:
    """Say whether a job worker gave a sign of life lately; without one everything waits."""
    alive_for = timedelta(seconds=_LEASES * conf.settings().jobs.lease)
    return JobWorker.objects.filter(seen_at__gt=Now() - alive_for).exists()
