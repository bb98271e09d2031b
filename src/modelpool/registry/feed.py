"""Telling the processes of the installation that a model changed."""

from __future__ import annotations

from modelpool.registry.models import RegisteredModel
from modelpool.tenants.changes import publish_change
from modelpool.tenants.models import Change


def announce(model: RegisteredModel) -> None:
    """Add the model to the change feed, as the last statement of the transaction that changed it."""
    publish_change(Change.Kind.MODEL, ref=str(model.pk), tenant_id=model.tenant_id)
