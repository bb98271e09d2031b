"""The home page: what is active, what runs, what failed lately."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from modelpool.console.jobs import STATE_LABELS
from modelpool.console.scoping import administers, signed_in
from modelpool.registry.models import RegisteredModel
from modelpool.tenants.membership import tenants_where
from modelpool.tenants.roles import Permission
from modelpool.training.models import TrainingJob

_JOBS = 10
_MODELS = 10


def home_context(request: HttpRequest) -> dict[str, Any]:
    """Return the counts and the latest rows of the person's tenants."""
    visible = tenants_where(signed_in(request), Permission.VIEW)
    models = RegisteredModel.unscoped.filter(tenant__in=visible)
    jobs = TrainingJob.unscoped.filter(tenant__in=visible)
    states = TrainingJob.State
    latest = jobs.select_related("model", "tenant").order_by("-created_at")[:_JOBS]
    return {
        "counts": [
            ("Tenants", visible.count(), "admin:tenants_tenant_changelist" if administers(request) else ""),
            ("Models", models.count(), "admin:registry_registeredmodel_changelist"),
            ("Active models", models.exclude(active_version=None).count(), "admin:registry_registeredmodel_changelist"),
            ("Jobs running", jobs.filter(state=states.RUNNING).count(), "admin:training_trainingjob_changelist"),
            ("Jobs queued", jobs.filter(state=states.QUEUED).count(), "admin:training_trainingjob_changelist"),
        ],
        "latest_jobs": [(job, STATE_LABELS.get(job.state, "info")) for job in latest],
        "latest_models": models.select_related("tenant", "active_version").order_by("-updated_at")[:_MODELS],
    }
