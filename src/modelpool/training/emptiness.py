"""Whether a tenant may be deleted: nobody loses models by one mistyped request."""

from __future__ import annotations

from modelpool.core.errors import Conflict
from modelpool.registry.models import RegisteredModel
from modelpool.tenants.models import Tenant
from modelpool.training.models import Dataset


def count_owned(tenant: Tenant) -> dict[str, int]:
    """Return how many ``models`` and ``datasets`` the tenant has."""
    return {
        "models": RegisteredModel.objects.for_tenant(tenant).count(),
        "datasets": Dataset.objects.for_tenant(tenant).count(),
    }


def refuse_unless_empty(tenant: Tenant) -> None:
    """Raise :class:`Conflict` that counts what the tenant still owns."""
    owned = " and ".join(f"{count} {what}" for what, count in count_owned(tenant).items() if count)
    if owned:
        raise Conflict(
            f"Tenant {tenant.name!r} still owns {owned}; delete those first, or suspend it with is_active=false."
        )
