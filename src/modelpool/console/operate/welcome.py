"""Where a person's link leads: they choose their password, and sign in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.password_validation import password_validators_help_texts
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminPasswordWidget

from modelpool.console.methods import attempt
from modelpool.console.site import site
from modelpool.tenants import invitations
from modelpool.tenants.models import User


def _password(label: Any) -> forms.CharField:
    widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
    return forms.CharField(label=label, strip=False, max_length=1000, widget=widget)


class ChosenPassword(forms.Form):
    """A new password, typed twice."""

    password = _password(gettext_lazy("New password"))
    again = _password(gettext_lazy("The same again"))

    def clean_again(self) -> str:
        """Compare the two."""
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("password", again):
            raise forms.ValidationError(_("The two are not the same."))
        return again


@sensitive_post_parameters()
@never_cache
@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def welcome(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """Show the form, and take the password; a link that was used says so."""
    person = invitations.find_invited(uid, token)
    form = ChosenPassword(request.POST if request.method == "POST" else None)
    if person is None:
        return _page(request, None, form, status=410)
    if request.method == "POST" and attempt(form, lambda data: _accept(request, person, data)):
        messages.success(request, _("Your password is set. Sign in with it."))
        return HttpResponseRedirect(reverse("console:login"))
    return _page(request, person, form, status=422 if request.method == "POST" else 200)


def _accept(request: HttpRequest, person: User, data: dict[str, Any]) -> bool:
    invitations.accept(person, password=data["password"], request_id=getattr(request, "request_id", ""))
    return True


def _page(request: HttpRequest, person: User | None, form: ChosenPassword, *, status: int) -> HttpResponse:
    context = {
        **site.each_context(request),
        "title": _("Choose a password"),
        "person": person,
        "form": form,
        "rules": password_validators_help_texts(),
    }
    return TemplateResponse(request, "console/operate/welcome.html", context, status=status)
