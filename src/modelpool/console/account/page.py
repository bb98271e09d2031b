"""The page on which people look after their own sign-in; also those who have no role in any tenant yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate

from allauth.mfa.models import Authenticator
from allauth.socialaccount.internal.flows.connect import disconnect as forget_provider
from allauth.socialaccount.internal.flows.connect import validate_disconnect
from allauth.socialaccount.models import SocialAccount
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST, require_safe

from modelpool.console.account import devices, sessions, single_sign_on
from modelpool.console.pages import Args, Page
from modelpool.console.site import Routed

OwnView = Callable[Concatenate[Page, Args], HttpResponseBase]


def _own(view: OwnView[Args]) -> Routed:
    @wraps(view)
    def routed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return view(Page(request), *args, **kwargs)

    return never_cache(csrf_protect(login_required(routed)))


@require_safe
@_own
def account(page: Page) -> HttpResponse:
    """Show how the person signs in, and where they are signed in."""
    authenticators = {found.type: found for found in Authenticator.objects.filter(user=page.person)}
    codes = authenticators.get(Authenticator.Type.RECOVERY_CODES)
    return page.render(
        "console/account/account.html",
        title=_("Your account"),
        providers=_providers(page),
        authenticator=authenticators.get(Authenticator.Type.TOTP),
        n_codes=len(codes.wrap().get_unused_codes()) if codes else 0,
        sessions=[(found, devices.name_of(found.user_agent)) for found in sessions.sessions_of(page.person)],
        current_key=page.request.session.session_key,
    )


def _providers(page: Page) -> list[tuple[str, str, SocialAccount | None]]:
    """Return every provider with its label and the person's account there."""
    connected = {found.provider: found for found in SocialAccount.objects.filter(user=page.person)}
    return [(name, label, connected.get(name)) for name, label in single_sign_on.buttons()]


@require_POST
@_own
def disconnect(page: Page, account: int) -> HttpResponse:
    """Let the person no longer sign in by a provider, as long as there is another way in."""
    found = SocialAccount.objects.filter(user=page.person, pk=account).first()
    if found is None:
        raise Http404
    try:
        validate_disconnect(page.request, found)
    except ValidationError:
        messages.error(page.request, _("It is your only way in: you have no password here."))
    else:
        forget_provider(page.request, found)
    return HttpResponseRedirect(reverse("console:account"))


@require_POST
@_own
def end_session(page: Page, session: int) -> HttpResponse:
    """End one session of the person's that is not this one."""
    here = page.request.session.session_key
    if not sessions.end_sessions(page.person, actor=page.actor, only=session, but=here):
        raise Http404
    messages.success(page.request, _("That session has ended."))
    return HttpResponseRedirect(reverse("console:account"))


@require_POST
@_own
def end_sessions(page: Page) -> HttpResponse:
    """Sign the person out everywhere else, or here too."""
    count = sessions.end_sessions(page.person, actor=page.actor, but=page.request.session.session_key)
    if page.request.POST.get("here") == "too":
        logout(page.request)
        messages.success(page.request, _("You are signed out everywhere."))
        return HttpResponseRedirect(reverse("console:login"))
    said = ngettext("%(count)d other session has ended.", "%(count)d other sessions have ended.", count)
    messages.success(page.request, said % {"count": count})
    return HttpResponseRedirect(reverse("console:account"))
