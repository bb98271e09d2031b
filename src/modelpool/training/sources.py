"""Datasets from elsewhere: which sources a tenant may use, and the request for one. Fetching is a worker's business."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from modelpool import conf
from modelpool.core.errors import FieldError, Invalid, InvalidField, QuotaExceeded, TenantNotFound
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.training import retention
from modelpool.training.data_formats import BY_SUFFIX, data_format_of
from modelpool.training.dataset_names import MOST_NAME_CHARS, check_dataset_name
from modelpool.training.models import Dataset

_PATH = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*(/[A-Za-z0-9_\-][A-Za-z0-9_.\-]*)*")
_MAX_PATH = 500
_MAX_TEXT = 1000
_RETRY_QUEUED_S = 10.0


def sources_of(tenant: Tenant) -> dict[str, conf.SourceSettings]:
    """Return the sources that the operator lets the tenant use, by name."""
    found = conf.settings().datasets.sources
    return {name: source for name, source in sorted(found.items()) if {"*", tenant.name} & set(source.tenants)}


def request_dataset(
    tenant: Tenant,
    *,
    source: str,
    actor: Actor,
    parameters: Mapping[str, Any] | None = None,
    path: str = "",
    name: str = "",
    expires_at: datetime | None = None,
    in_transaction: Callable[[Dataset], None] | None = None,
) -> Dataset:
    """Ask for a dataset from a source; it is ``pending`` until a worker has fetched it.

    Raises :class:`Invalid` that names ``source``, ``parameters.NAME`` or ``object``, and :class:`QuotaExceeded` when as
    many of the tenant's wait as jobs may.
    """
    allowed = sources_of(tenant)
    if source not in allowed:
        known = ", ".join(allowed) or "none; the operator configures them"
        raise InvalidField("source", f"{source[:80]!r} is not a source that this tenant may use; those are: {known}.")
    check_dataset_name(name)
    expires_at = retention.checked_expiry(expires_at)
    origin, format_name = _origin(allowed[source], source=source, parameters=parameters or {}, path=path)
    with transaction.atomic():
        _check_quota(tenant)
        dataset: Dataset = Dataset.objects.create(
            tenant=tenant,
            name=(name or path.rpartition("/")[2] or source)[:MOST_NAME_CHARS],
            format=format_name,
            state=Dataset.State.PENDING,
            origin=origin,
            size_bytes=0,
            created_by=actor.label[:200],
            expires_at=expires_at or retention.default_expiry(tenant),
        )
        details = {"source": source} | ({"object": path} if path else {})
        audit.record("dataset.fetch", actor=actor, tenant=tenant, target=str(dataset.pk), details=details)
        if in_transaction is not None:
            in_transaction(dataset)
    return dataset


def _check_quota(tenant: Tenant) -> None:
    """Bound what waits: workers fetch one after another, for all tenants. The lock makes the count right."""
    locked = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant.pk).first()
    if locked is None:
        raise TenantNotFound(tenant.name)
    own = locked.max_queued_jobs
    limit = conf.settings().limits.tenant_queued_jobs if own is None else own
    if Dataset.objects.for_tenant(tenant).filter(state=Dataset.State.PENDING).count() >= limit:
        detail = f"{limit} datasets of tenant {tenant.name!r} wait to be fetched already, as many as jobs may wait"
        raise QuotaExceeded(f"{detail}; wait for one, or delete one.", retry_after_s=_RETRY_QUEUED_S)


def _origin(
    settings: conf.SourceSettings, *, source: str, parameters: Mapping[str, Any], path: str
) -> tuple[dict[str, Any], str]:
    if isinstance(settings, conf.SqlSourceSettings):
        if path:
            raise InvalidField("object", f"source {source!r} is a query; it takes parameters, no object.")
        _check_parameters(parameters, names=settings.parameters)
        return {"source": source, "parameters": dict(parameters)}, Dataset.Format.PARQUET
    if parameters:
        raise InvalidField("parameters", f"source {source!r} is a store; it takes an object, no parameters.")
    if len(path) > _MAX_PATH or _PATH.fullmatch(path) is None:
        raise InvalidField(
            "object",
            "must be the path of a file below the folder of this tenant: letters, digits, '_', '-', '.' and '/', no "
            "part beginning with '.', such as 2026/sales.csv.gz.",
        )
    return {"source": source, "object": path}, _format_by_name(path)


def _format_by_name(path: str) -> str:
    """The content decides later; a name that says nothing may be a table all the same."""
    words = path.lower().split(".")[1:]
    named = any(f".{word}" in BY_SUFFIX for word in words[-2:])
    return data_format_of(media_type="", filename=path) if named else Dataset.Format.CSV


def _check_parameters(given: Mapping[str, Any], *, names: tuple[str, ...]) -> None:
    errors = [FieldError(f"parameters.{name}", "is required.", "required") for name in names if name not in given]
    known = ", ".join(names) or "none"
    for name, value in given.items():
        if name not in names:
            detail = f"is not a parameter of this source; those are: {known}."
            errors.append(FieldError(f"parameters.{name[:80]}", detail, "unknown_field"))
        elif not isinstance(value, str | int | float | bool) or len(str(value)) > _MAX_TEXT or "\x00" in str(value):
            errors.append(
                FieldError(f"parameters.{name}", f"must be text, a number, true or false, up to {_MAX_TEXT}.")
            )
    if errors:
        raise Invalid("; ".join(f"{item.field}: {item.detail}" for item in errors), errors=errors)
