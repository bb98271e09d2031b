"""What django-allauth asks of an installation: nobody signs up by themselves, nothing is sent by e-mail."""

from __future__ import annotations

from base64 import b32encode, urlsafe_b64encode
from secrets import token_bytes
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from modelpool.console.account import guesses, trail

_SILENT = ("account/messages/logged_in.txt", "account/messages/logged_out.txt")


class AccountAdapter(DefaultAccountAdapter):
    """Of local accounts."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": _("The user name or the password is not right."),
        "too_many_login_attempts": _("Too many attempts. Wait five minutes, then try again."),
        "rate_limited": _("Too many attempts. Wait a minute, then try again."),
        "incorrect_password": _("The password is not right."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say no: operators add people."""
        return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send nothing."""

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send nothing; the audit trail has it."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return where the request comes from; the server has looked at what trusted proxies say of it."""
        return str(request.META.get("REMOTE_ADDR") or "0.0.0.0")  # noqa: S104  no address to listen at

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Tell what happened, but not what the next page shows anyway."""
        if message_template not in _SILENT:
            super().add_message(request, level, message_template, *args, **kwargs)

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """Say no to who was locked out, whoever vouches for them."""
        messages.error(request, _("This account is locked. Ask whoever runs this installation."))
        return HttpResponseRedirect(reverse("console:login"))

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Refuse to look at the password after too many wrong ones, of anybody's name, known or not."""
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            trail.locked_out(request, str(credentials.get("username", "")))
            raise

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Write it down."""
        trail.refused(request, str(credentials.get("username", "")), step="password")

    def _get_login_attempts_cache_key(self, request: HttpRequest | None, **credentials: Any) -> str:
        """Count by the name alone: whichever of its addresses the server is asked at, it is one person."""
        return guesses.key_of(str(credentials.get("username", "")))


class SecondFactorAdapter(DefaultMFAAdapter):
    """Of second factors; their secrets are encrypted in the database by a key of the installation's secret."""

    def get_totp_label(self, user: Any) -> str:
        """Return what the app on the phone calls it."""
        return str(user.get_username())

    def encrypt(self, text: str) -> str:
        """Return what is stored of a secret."""
        return _cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret; for one that was encrypted by another key, a random one, which fits no code."""
        try:
            return _cipher().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            return b32encode(token_bytes(20)).decode()


def _cipher() -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"modelpool second factors")
    return Fernet(urlsafe_b64encode(derived.derive(settings.SECRET_KEY.encode())))
