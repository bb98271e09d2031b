"""Tenants on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from modelpool.api.v1.documents.texts import Burst, Bytes, Count, Days, Policy, Rate, Title
from modelpool.http.bodies import Body
from modelpool.storage.services import storage_used
from modelpool.tenants.models import Tenant


class NewTenant(Body, frozen=True):
    """A tenant to create; what is left out gets the installation's defaults."""

    name: str
    display_name: Title = ""
    store: str = "default"
    default_policy: Policy = msgspec.field(default_factory=dict)
    max_storage_bytes: Bytes | None = None
    max_models: Count | None = None
    max_queued_jobs: Count | None = None
    dataset_days: Days | None = None
    predictions_per_second: Rate | None = None
    burst: Burst | None = None


class TenantChanges(Body, frozen=True):
    """What to change; only operators may change more than ``display_name`` and ``default_policy``."""

    display_name: Title | UnsetType = UNSET
    default_policy: Policy | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    store: str | UnsetType = UNSET
    max_storage_bytes: Bytes | UnsetType | None = UNSET
    max_models: Count | UnsetType | None = UNSET
    max_queued_jobs: Count | UnsetType | None = UNSET
    dataset_days: Days | UnsetType | None = UNSET
    predictions_per_second: Rate | UnsetType | None = UNSET
    burst: Burst | UnsetType | None = UNSET


class TenantDocument(msgspec.Struct, frozen=True):
    """A tenant; a quota of null is the installation's, ``used_storage_bytes`` is told of single tenants only."""

    name: str
    display_name: str
    is_active: bool
    store: str
    default_policy: dict[str, Any]
    max_storage_bytes: int | None
    max_models: int | None
    max_queued_jobs: int | None
    dataset_days: int | None
    predictions_per_second: float | None
    burst: int | None
    created_at: datetime
    used_storage_bytes: int | None = None


def present_tenant(tenant: Tenant, *, used_storage_bytes: int | None = None) -> TenantDocument:
    """Return the tenant as it stands on the wire."""
    return TenantDocument(
        name=tenant.name,
        display_name=tenant.display_name,
        is_active=tenant.is_active,
        store=tenant.store,
        default_policy=tenant.default_policy,
        max_storage_bytes=tenant.max_storage_bytes,
        max_models=tenant.max_models,
        max_queued_jobs=tenant.max_queued_jobs,
        dataset_days=tenant.dataset_days,
        predictions_per_second=tenant.predictions_per_second,
        burst=tenant.burst,
        created_at=tenant.created_at,
        used_storage_bytes=used_storage_bytes,
    )


def present_tenants(tenants: Iterable[Tenant]) -> list[TenantDocument]:
    """Return a list's rows."""
    return [present_tenant(tenant) for tenant in tenants]


def present_tenant_in_full(tenant: Tenant) -> TenantDocument:
    """Return the tenant with the bytes that it uses."""
    return present_tenant(tenant, used_storage_bytes=storage_used(tenant))


def changes_of(body: Body) -> dict[str, Any]:
    """Return the fields that were sent."""
    sent = {field.name: getattr(body, field.name) for field in msgspec.structs.fields(body)}
    return {name: value for name, value in sent.items() if value is not UNSET}
