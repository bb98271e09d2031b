"""Keys on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from modelpool.api.v1.documents.texts import Title
from modelpool.http.bodies import Body
from modelpool.tenants.models import APIKey


class NewKey(Body, frozen=True):
    """A key of a tenant."""

    role: Literal["viewer", "predictor", "scientist", "admin"]
    name: Title = ""
    expires_in_days: float | None = None


class NewOperatorKey(Body, frozen=True):
    """A key of the installation."""

    name: Title = ""
    expires_in_days: float | None = None
    role: Literal["operator"] = "operator"


class KeyDocument(msgspec.Struct, frozen=True):
    """A key without its secret; ``prefix`` is the secret's recognisable beginning."""

    id: UUID
    tenant: str | None
    name: str
    role: str
    prefix: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class CreatedKeyDocument(KeyDocument, frozen=True, kw_only=True):
    """A new key; ``key`` is the secret, which is shown this once."""

    key: str


def present_key(key: APIKey, *, tenant: str | None) -> KeyDocument:
    """Return the key as it stands on the wire."""
    return KeyDocument(**_fields(key, tenant))


def present_keys(keys: Iterable[APIKey], *, tenant: str | None) -> list[KeyDocument]:
    """Return a list's rows."""
    return [present_key(key, tenant=tenant) for key in keys]


def present_new_key(key: APIKey, *, tenant: str | None, secret: str) -> CreatedKeyDocument:
    """Return a new key with its secret."""
    return CreatedKeyDocument(**_fields(key, tenant), key=secret)


def _fields(key: APIKey, tenant: str | None) -> dict[str, Any]:
    names = [name for name in KeyDocument.__struct_fields__ if name != "tenant"]
    return {"tenant": tenant, **{name: getattr(key, name) for name in names}}
