"""What the audit trail has of signing in. Never a password, a code, or what somebody typed in place of a name."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.signals import password_changed, user_logged_in
from allauth.mfa import signals as second_factors
from allauth.mfa.models import Authenticator
from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.contrib.auth.signals import user_logged_out
from django.core.cache import cache
from django.dispatch import receiver
from django.http import HttpRequest

from modelpool.tenants import audit
from modelpool.tenants.actors import Actor
from modelpool.tenants.membership import actor_of
from modelpool.tenants.models import User

_LOCK_OUT_S = 300
_UNKNOWN = "(unknown name)"
_NOBODY = "nobody signed in"


def refused(request: HttpRequest, username: str, *, step: str) -> None:
    """Somebody gave a wrong password or code."""
    _record(request, "user.sign_in", person=None, target=_name(username), outcome="refused", step=step)


def locked_out(request: HttpRequest, username: str) -> None:
    """Too many wrong ones; written once for each time, however often they go on."""
    target = _name(username)
    subject = sha256(f"{target} {request.META.get('REMOTE_ADDR')}".encode()).hexdigest()
    if cache.add(f"locked-out:{subject}", 1, timeout=_LOCK_OUT_S):
        _record(request, "user.lock_out", person=None, target=target, outcome="refused")


def sign_in_failed(request: HttpRequest, *, provider: str, why: str) -> None:
    """A provider's answer was not believed, or there was none; once a minute, for anybody can bring that about."""
    if cache.add(f"provider-failed:{provider}", 1, timeout=60):
        _record(request, "user.sign_in", person=None, target="", outcome="refused", step=provider, why=why)


def sessions_ended(user: User, *, count: int, actor: Actor) -> None:
    """Sessions were ended from elsewhere."""
    audit.record("user.end_sessions", actor=actor, tenant=None, target=user.username, details={"count": count})


def second_factor_removed(user: User, *, actor: Actor) -> None:
    """Somebody took a person's second factor away."""
    audit.record("user.remove_second_factor", actor=actor, tenant=None, target=user.username)


@receiver(user_logged_in)
def _signed_in(request: HttpRequest, user: User, **_: Any) -> None:
    ways = [str(record.get("method")) for record in get_authentication_records(request, user)]
    _record(request, "user.sign_in", person=user, by=ways)


@receiver(user_logged_out)
def _signed_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    if isinstance(user, User):
        _record(request, "user.sign_out", person=user)


@receiver(password_changed)
def _password_changed(request: HttpRequest, user: User, **_: Any) -> None:
    _record(request, "user.password", person=user)


@receiver(second_factors.authenticator_added)
def _added(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(request, "user.add_second_factor", person=user, kind=authenticator.type)


@receiver(second_factors.authenticator_removed)
def _removed(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(request, "user.remove_second_factor", person=user, kind=authenticator.type)


@receiver(second_factors.authenticator_reset)
def _renewed(request: HttpRequest, user: User, **_: Any) -> None:
    _record(request, "user.renew_recovery_codes", person=user)


@receiver(second_factors.authentication_failed)
def _wrong_code(request: HttpRequest, user: User, **_: Any) -> None:
    refused(request, user.username, step="second factor")


@receiver(social_account_added)
def _connected(request: HttpRequest, sociallogin: Any, **_: Any) -> None:
    _record(request, "user.connect_provider", person=sociallogin.user, provider=sociallogin.account.provider)


@receiver(social_account_removed)
def _disconnected(request: HttpRequest, socialaccount: Any, **_: Any) -> None:
    _record(request, "user.disconnect_provider", person=socialaccount.user, provider=socialaccount.provider)


def _name(typed: str) -> str:
    """People type passwords into the field above: only names that exist are written down."""
    return typed if User.objects.filter(username=typed).exists() else _UNKNOWN


def _record(
    request: HttpRequest, action: str, *, person: User | None, target: str = "", outcome: str = "done", **details: Any
) -> None:
    request_id = getattr(request, "request_id", "")
    nobody = Actor("system", "", _NOBODY, request_id)
    actor = actor_of(person, request_id=request_id) if person is not None else nobody
    details["address"] = request.META.get("REMOTE_ADDR", "")
    target = person.username if person is not None else target
    audit.record(action, actor=actor, tenant=None, target=target, details=details, outcome=outcome)
