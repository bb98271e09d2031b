"""Links by which people choose their own password: once, within some days; nobody else ever knows the password.

The token is of the person's present password, sign-ins and e-mail, so it opens nothing once it was used, and nothing
is stored for it (``PASSWORD_RESET_TIMEOUT`` is how long it lasts).
"""

from __future__ import annotations

from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.membership import actor_of
from modelpool.tenants.models import User
from modelpool.tenants.services import set_password


def invite(user: User, *, actor: Actor) -> tuple[str, str]:
    """Return the two parts of a link for this person; the audit trail tells that there is one, and who made it."""
    with transaction.atomic():
        audit.record("user.invite", actor=actor, tenant=None, target=user.username)
    return urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)


def find_invited(uid: str, token: str) -> User | None:
    """Return whose link that is, or ``None`` when it was used, is too old, or was never made."""
    try:
        key = int(urlsafe_base64_decode(uid))
    except (ValueError, OverflowError):
        return None
    user = User.objects.filter(pk=key, is_active=True).first() if 0 < key < 2**63 else None
    return user if user is not None and default_token_generator.check_token(user, token) else None


def accept(user: User, *, password: str, request_id: str = "") -> None:
    """Give the person the password they chose; the link is used up, their sessions end.

    Raises :class:`~modelpool.core.errors.InvalidField` for one that the rules of passwords refuse.
    """
    set_password(user, password=password, actor=actor_of(user, request_id=request_id))
