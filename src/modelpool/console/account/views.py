"""The steps of signing in and of the second factor: django-allauth's, in the console's frame."""

from __future__ import annotations

from typing import Any

from allauth.account import views as account
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.base import views as second_factor
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from django.contrib.auth.password_validation import password_validators_help_texts
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from modelpool import conf
from modelpool.console.account import single_sign_on
from modelpool.console.site import site
from modelpool.http import second_factor as second_factor_wanted

_ACCOUNT = reverse_lazy("console:account")


class _Framed:
    """A page in the console's frame, which nobody keeps a copy of."""

    title: Any = ""

    @method_decorator([never_cache, csrf_protect])
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what the frame shows."""
        frame = site.each_context(self.request)  # type: ignore[attr-defined]
        crumbs = [(_("Your account"), reverse("console:account"))]
        found = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {**frame, "crumbs": crumbs, **found, "title": self.title}


class SignIn(_Framed, account.LoginView):
    """Name and password."""

    title = gettext_lazy("Sign in")
    template_name = "console/account/sign_in.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the organisation's ways in."""
        ways = {"providers": single_sign_on.buttons(), "passwords": conf.settings().sign_in.passwords}
        return {**super().get_context_data(**kwargs), **ways}


class SignOut(_Framed, account.LogoutView):
    """Ends the session; asks first where it is opened as a page."""

    title = gettext_lazy("Sign out")
    template_name = "console/account/sign_out.html"


class SecondFactor(_Framed, second_factor.AuthenticateView):
    """The second step of signing in."""

    title = gettext_lazy("Two-factor sign-in")
    template_name = "console/account/second_factor.html"


class Confirm(_Framed, account.ReauthenticateView):
    """The password again."""

    title = gettext_lazy("Confirm that it is you")
    template_name = "console/account/confirm.html"


class ConfirmByCode(_Framed, second_factor.ReauthenticateView):
    """A code again."""

    title = gettext_lazy("Confirm that it is you")
    template_name = "console/account/confirm.html"


class ChangePassword(_Framed, account.PasswordChangeView):
    """A new password; sessions elsewhere end."""

    title = gettext_lazy("Change the password")
    template_name = "console/account/password.html"
    success_url = _ACCOUNT

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the rules."""
        return {**super().get_context_data(**kwargs), "rules": password_validators_help_texts()}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Lead back who signs in elsewhere: their password is not here."""
        if request.user.is_authenticated and not request.user.has_usable_password():
            return HttpResponseRedirect(reverse("console:account"))
        return super().dispatch(request, *args, **kwargs)


class NewAuthenticator(_Framed, totp.ActivateTOTPView):
    """Sets up an app that shows codes."""

    title = gettext_lazy("Set up two-factor sign-in")
    template_name = "console/account/new_authenticator.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Say whether there is a choice."""
        return {**super().get_context_data(**kwargs), "is_wanted": second_factor_wanted.is_missing(self.request)}

    def form_valid(self, form: Any) -> HttpResponse:
        """Turn it on; this session has just shown a code."""
        answer: HttpResponse = super().form_valid(form)
        record_authentication(self.request, self.request.user, "mfa", type="totp")
        return answer


class RemoveAuthenticator(_Framed, totp.DeactivateTOTPView):
    """Turns it off."""

    title = gettext_lazy("Turn two-factor sign-in off")
    template_name = "console/account/remove_authenticator.html"
    success_url = _ACCOUNT


class RecoveryCodes(_Framed, recovery_codes.ViewRecoveryCodesView):
    """Codes for the day on which the phone is gone."""

    title = gettext_lazy("Recovery codes")
    template_name = "console/account/recovery_codes.html"


class NewRecoveryCodes(_Framed, recovery_codes.GenerateRecoveryCodesView):
    """New ones; the old ones open nothing any more."""

    title = gettext_lazy("New recovery codes")
    template_name = "console/account/new_recovery_codes.html"


class RecoveryCodesFile(_Framed, recovery_codes.DownloadRecoveryCodesView):
    """The codes as a text file."""

    template_name = "console/account/recovery_codes.txt"
