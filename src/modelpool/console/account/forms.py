"""What people type to come in, in the console's look; django-allauth checks it."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ChangePasswordForm, LoginForm, ReauthenticateForm
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa import app_settings
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as ReauthenticateByCodeForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from django import forms
from django.core.cache import cache
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from modelpool import conf

MOST_CHARACTERS = 1000
"""Of a password; a longer one would be work for the server, not safer."""


def _password(label: Any, *, is_new: bool = False) -> forms.CharField:
    attrs = {"autocomplete": "new-password" if is_new else "current-password"}
    return forms.CharField(
        label=label, strip=False, max_length=MOST_CHARACTERS, widget=UnfoldAdminPasswordWidget(attrs=attrs)
    )


def _code(label: Any) -> forms.CharField:
    attrs = {"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}
    return forms.CharField(label=label, max_length=40, widget=UnfoldAdminTextInputWidget(attrs=attrs))


class SignIn(LoginForm):
    """Name and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        attrs = {"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false", "autofocus": True}
        self.fields["login"] = forms.CharField(
            label=_("User name"), max_length=150, widget=UnfoldAdminTextInputWidget(attrs=attrs)
        )
        self.fields["password"] = _password(_("Password"))

    def clean(self) -> dict[str, Any] | None:
        """Check the password, then whether a password is enough for this person."""
        cleaned: dict[str, Any] | None = super().clean()
        if self.user is not None and conf.settings().sign_in.passwords == "operators" and not self.user.is_operator:
            raise forms.ValidationError(_("Passwords are for operators here. Sign in with your organisation."))
        return cleaned


class Confirm(ReauthenticateForm):
    """The password again, before something that a borrowed screen must not do."""

    password = _password(_("Password"))


class ChangePassword(ChangePasswordForm):
    """The old password, and the new one twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oldpassword"] = _password(_("Present password"))
        for name, label in (("password1", _("New password")), ("password2", _("The same again"))):
            field = self.fields[name]  # stays as it is: it knows the rules
            field.label, field.widget = label, _password(label, is_new=True).widget
            field.validators.append(MaxLengthValidator(MOST_CHARACTERS))


class _OnceOnly(forms.Form):
    """A code is taken once, in all of the time in which it would be right."""

    def clean_code(self) -> str:
        code: str = super().clean_code()  # type: ignore[misc]
        found: Authenticator = self.authenticator  # type: ignore[attr-defined]
        if found.type == Authenticator.Type.TOTP:
            lasts_s = app_settings.TOTP_PERIOD * (2 * app_settings.TOTP_TOLERANCE + 1)
            if not cache.add(f"used-code:{found.pk}:{normalize_user_code(code)}", 1, timeout=lasts_s):
                raise get_adapter().validation_error("incorrect_code")
        return code


class SecondFactor(_OnceOnly, AuthenticateForm):
    """A code of the app on the phone, or one of the recovery codes."""

    code = _code(_("Code"))


class ConfirmByCode(_OnceOnly, ReauthenticateByCodeForm):
    """A code, before something that a borrowed screen must not do."""

    code = _code(_("Code"))


class NewAuthenticator(ActivateTOTPForm):
    """The first code of an app, which shows that it has the secret."""

    code = _code(_("Code that the app shows"))
