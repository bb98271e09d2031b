"""Who may send a large body, and how much: bodies are kept on the disk before Django sees them.

Nobody fills it without a key or a session, nor with more than a tenant's quota has left.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings

from modelpool.core.errors import NotAuthenticated
from modelpool.inference.resolution.lookup import with_database
from modelpool.storage.quotas import storage_quota, storage_used
from modelpool.tenants.authentication import Principal, find_principal
from modelpool.tenants.models import Tenant


@with_database
def admit_file(headers: Mapping[bytes, bytes], *, tenant: str) -> int | None:
    """Return how many bytes ``tenant`` may still store; ``None`` where that is found out later only.

    That is so for people who are signed in, and for whoever has no business with the tenant: what a key or a session
    may do is decided when the request is run. Raises :class:`~modelpool.core.errors.NotAuthenticated` without either,
    and :class:`~modelpool.core.errors.DatabaseUnavailable`.
    """
    principal = _key_of(headers.get(b"authorization", b"").decode("latin-1"))
    if principal is None:
        if not _has_session(headers.get(b"cookie", b"").decode("latin-1")):
            raise NotAuthenticated
        return None
    owner = Tenant.objects.filter(name=tenant).first() if tenant else None
    if owner is None or principal.tenant_id not in (None, owner.pk):
        return None
    return max(storage_quota(owner) - storage_used(owner), 0)


def _key_of(authorization: str) -> Principal | None:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return find_principal(rest.strip())
    if scheme.lower() == "basic":
        return find_principal(_password_of(rest.strip()))
    return None


def _password_of(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _has_session(cookies: str) -> bool:
    try:
        morsel = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return False
    if morsel is None:
        return False
    engine = import_module(settings.SESSION_ENGINE)
    return "_auth_user_id" in engine.SessionStore(morsel.value)
