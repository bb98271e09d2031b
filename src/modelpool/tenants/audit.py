"""The audit trail: one row per change, in the transaction of the change."""

from __future__ import annotations

from typing import Any

from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent, Tenant

OUTCOMES = ("done", "denied", "refused")
"""Of an event: it took place; the caller's role did not allow it; what was asked for was turned down."""


def record(
    action: str,
    *,
    actor: Actor,
    tenant: Tenant | None,
    target: str,
    details: dict[str, Any] | None = None,
    outcome: str = "done",
) -> None:
    """Add a row; ``action`` is ``noun.verb`` such as ``version.activate``, ``target`` a path such as ``churn/3``."""
    AuditEvent.objects.create(
        action=action,
        tenant_id=tenant.pk if tenant else None,
        tenant_name=tenant.name if tenant else "",
        actor_kind=actor.kind,
        actor_id=actor.id[:64],
        actor_label=actor.label[:200],
        target=target[:200],
        details=details or {},
        outcome=outcome,
        request_id=actor.request_id[:64],
    )
