"""From a request to its :class:`~modelpool.http.caller.Caller`: a key in the header, or a browser's session."""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from modelpool.core.errors import NotAuthenticated, PermissionDenied
from modelpool.http import second_factor
from modelpool.http.caller import Caller
from modelpool.http.key_use import key_was_used
from modelpool.tenants.authentication import find_principal
from modelpool.tenants.models import User


class CsrfFailed(PermissionDenied):
    """A browser's session sent a change without the token that proves its own page made it."""

    code = "csrf_failed"


class KeyOrSession(BaseAuthentication):
    """Sets ``request.auth`` to the caller; where an ``Authorization`` header is, the session is not looked at."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        """Return the person (``None`` for keys) and the caller; ``None`` when the request carries no credential."""
        header = request.headers.get("Authorization")
        if header is not None:
            return None, caller_of_key(header)
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active:
            return None
        _check_csrf(request._request)
        if second_factor.is_missing(request._request):
            raise PermissionDenied("Set up two-factor sign-in first, at /console/account/: this installation wants it.")
        return user, Caller(user=user)

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401."""
        return 'Bearer realm="modelpool"'


def caller_of_key(header: str) -> Caller:
    """Return whom the header ``Authorization: Bearer mp_…`` stands for, or raise :class:`NotAuthenticated`."""
    scheme, _, secret = header.partition(" ")
    principal = find_principal(secret.strip()) if scheme.lower() == "bearer" else None
    if principal is None:
        raise NotAuthenticated("This key is not valid: unknown, revoked, expired, or of a suspended tenant.")
    key_was_used(principal.digest)
    return Caller(principal=principal)


def _check_csrf(request: HttpRequest) -> None:
    check = CSRFCheck(_unreachable)
    check.process_request(request)
    reason = check.process_view(request, _unreachable, (), {})
    if reason is not None:
        raise CsrfFailed(f"CSRF check failed: {reason} Send the header 'X-CSRFToken', or use a key.")


def _unreachable(request: HttpRequest) -> HttpResponse:
    return cast(HttpResponse, None)
