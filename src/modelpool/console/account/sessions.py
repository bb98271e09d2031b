"""The sessions of a person: where they are signed in, and ending that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from modelpool.console.account import trail
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import User

_NOTE_EVERY_S = 60.0
_MOST_NOTED = 10_000


class LastSeenMiddleware:
    """Notes when and from where a session was last used: each process at most once a minute for each session.

    What a process sees for the first time has signed in just now, or will be seen again.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._noted: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, then note."""
        response = self.get_response(request)
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if key and key == request.session.session_key and self._is_due(key):
            address = request.META.get("REMOTE_ADDR") or "0.0.0.0"  # noqa: S104
            UserSession.objects.filter(session_key=key).update(last_seen_at=timezone.now(), ip=address)
        return response

    def _is_due(self, key: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if len(self._noted) >= _MOST_NOTED:
                self._noted.clear()
            if now - self._noted.setdefault(key, now) < _NOTE_EVERY_S:
                return False
            self._noted[key] = now
        return True


def sessions_of(user: User) -> list[UserSession]:
    """Return the sessions that still are, the one used last first."""
    found: list[UserSession] = UserSession.objects.purge_and_list(user)
    return sorted(found, key=lambda session: session.last_seen_at, reverse=True)


def end_sessions(user: User, *, actor: Actor, only: int | None = None, but: str | None = None) -> int:
    """End all sessions of a person, the one with the id ``only``, or all ``but`` that of a key; return how many."""
    chosen = UserSession.objects.filter(user=user)
    chosen = chosen.filter(pk=only) if only is not None else chosen
    chosen = chosen.exclude(session_key=but) if but is not None else chosen
    with transaction.atomic():
        ended = [session.end() for session in chosen]
        if ended:
            trail.sessions_ended(user, count=len(ended), actor=actor)
    return len(ended)


def remove_second_factor(user: User, *, actor: Actor) -> bool:
    """Let a person sign in by the password alone, as when a phone was lost; say whether there was a second factor."""
    with transaction.atomic():
        removed, _ = Authenticator.objects.filter(user=user).delete()
        if removed:
            trail.second_factor_removed(user, actor=actor)
    return bool(removed)


def has_second_factor(user: User) -> bool:
    """Say whether the person signs in by two factors."""
    kinds = Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES)
    return bool(kinds.exists())
