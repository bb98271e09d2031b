"""Who may send a large body: nobody fills the disk without a key or a session, for bodies are kept first."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings

from modelpool.inference.resolution.lookup import with_database
from modelpool.tenants.authentication import find_principal


@with_database
def may_send_files(headers: Mapping[bytes, bytes]) -> bool:
    """Say whether the request carries a valid key or a signed-in session; what it may do with it is decided later.

    Raises :class:`~modelpool.core.errors.DatabaseUnavailable`.
    """
    return _has_key(headers.get(b"authorization", b"").decode("latin-1")) or _has_session(
        headers.get(b"cookie", b"").decode("latin-1")
    )


def _has_key(authorization: str) -> bool:
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return find_principal(rest.strip()) is not None
    if scheme.lower() == "basic":
        return find_principal(_password_of(rest.strip())) is not None
    return False


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
