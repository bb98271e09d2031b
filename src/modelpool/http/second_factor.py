"""Whether a browser's session shows all that the installation wants before it lets a person do things."""

from __future__ import annotations

from allauth.account.authentication import get_authentication_records
from django.http import HttpRequest

from modelpool import conf
from modelpool.tenants.models import User

_STRONG = frozenset({"mfa", "socialaccount"})
"""A second factor of ours, or a sign-in at the provider, who asks for one as the organisation decides."""


def is_missing(request: HttpRequest) -> bool:
    """Say whether the person has to sign in by two factors (``sign_in.require_two_factor``) and has not; no query."""
    wanted = conf.settings().sign_in.require_two_factor
    user = request.user
    if wanted == "nobody" or not isinstance(user, User) or (wanted == "operators" and not user.is_operator):
        return False
    return not any(record.get("method") in _STRONG for record in get_authentication_records(request, user))
