"""Who may send a large body, and how much: bodies are kept on the disk before Django sees them.

Nobody fills it who may not store files in the tenant, nor with more than its quota has left.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from modelpool.core.errors import NotAuthenticated, PermissionDenied
from modelpool.http.caller import Caller
from modelpool.inference.resolution.lookup import with_database
from modelpool.storage.quotas import storage_quota, storage_used
from modelpool.tenants.authentication import Principal, find_principal
from modelpool.tenants.models import User
from modelpool.tenants.roles import Permission


@with_database
def admit_file(headers: Mapping[bytes, bytes], *, tenant: str) -> int | None:
    """Return how many bytes ``tenant`` may still store; ``None`` where the address names none.

    What else a key or a session may do is decided when the request is run. Raises
    :class:`~modelpool.core.errors.NotAuthenticated` without either, the errors of a request of somebody who has no
    business there, and :class:`~modelpool.core.errors.DatabaseUnavailable`.
    """
    caller = _caller_of(headers)
    if not tenant:
        return None
    owner = caller.enter(tenant)
    if not caller.may(Permission.DEVELOP, tenant=owner):
        raise PermissionDenied("Only who may develop models in this tenant may send files to it.")
    return max(storage_quota(owner) - storage_used(owner), 0)


def _caller_of(headers: Mapping[bytes, bytes]) -> Caller:
    principal = _key_of(headers.get(b"authorization", b"").decode("latin-1"))
    if principal is not None:
        return Caller(principal=principal)
    person = _person_of(headers.get(b"cookie", b"").decode("latin-1"))
    if person is None:
        raise NotAuthenticated
    return Caller(user=person)


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


def _person_of(cookies: str) -> User | None:
    """Return who is signed in, as Django finds it out for a request."""
    try:
        morsel = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return None
    if morsel is None:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(morsel.value)
    person = get_user(request)
    return person if isinstance(person, User) and person.is_active else None
