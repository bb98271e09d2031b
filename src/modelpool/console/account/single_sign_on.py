"""Signing in where the organisation does, by OpenID Connect: code flow with PKCE, every identity token verified."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, get_adapter
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from allauth.socialaccount.providers.base import AuthError
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from modelpool import conf
from modelpool.console.account import groups, trail
from modelpool.console.site import site
from modelpool.core.errors import ModelpoolError, NameTaken
from modelpool.tenants import services
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import User

logger = logging.getLogger(__name__)

_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Signatures by a key that the provider alone has; never those by a secret that we have too, never ``none``."""
_LEEWAY_S = 60
"""By how much clocks may differ."""
_MOST_NAMES = 100
_Unusable = (KeyError, TypeError, ValueError, AttributeError, jwt.PyJWTError)
"""What reading an answer ends in that is not what a provider has to send."""


class Refused(OAuth2Error):
    """The provider's answer does not prove who somebody is; the message says why, to the operator."""


class Provider(OpenIDConnectOAuth2Adapter):
    """Talks to one provider of the settings, and believes nothing that is not signed for us."""

    @property
    def openid_config(self) -> dict[str, Any]:
        """Return what the provider says of itself, which has to be the one of the settings."""
        found: dict[str, Any] = super().openid_config
        wanted = self.settings.issuer.rstrip("/")
        if str(found.get("issuer", "")).rstrip("/") != wanted:
            raise Refused(f"its issuer is {found.get('issuer')!r}, the settings say {wanted!r}")
        return found

    @property
    def settings(self) -> conf.ProviderSettings:
        """Return the provider's settings."""
        return conf.settings().sign_in.providers[self.provider_id]

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        """Return where the provider sends people back to: below the public address, if the settings have one."""
        public = urlsplit(conf.settings().server.public_url or request.build_absolute_uri("/"))
        path = reverse("openid_connect_callback", kwargs={"provider_id": self.provider_id})
        return f"{public.scheme}://{public.netloc}{path}"

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> SocialLogin:
        """Return who that is, by the identity token; what the provider tells besides has to be about the same."""
        if not kwargs["response"].get("id_token"):
            raise Refused("it sent no identity token")
        try:
            login: SocialLogin = super().complete_login(request, app, token, **kwargs)
            told = login.account.extra_data
            if "userinfo" in told and told["userinfo"].get("sub") != told["id_token"]["sub"]:
                raise Refused("its user info is about somebody else than its identity token")
        except _Unusable as error:
            raise Refused(f"its answer cannot be used: {type(error).__name__}: {error}") from error
        return login

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(id_token)
        algorithm = header.get("alg")
        if algorithm not in _ALGORITHMS:
            raise Refused(f"its identity token is signed by {algorithm!r}")
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key=self._key(header.get("kid"), algorithm),
            algorithms=[algorithm],
            audience=app.client_id,
            issuer=self.openid_config["issuer"],
            leeway=_LEEWAY_S,
            options={"require": ["iss", "aud", "exp", "iat", "sub"]},
        )
        if claims.get("azp", app.client_id) != app.client_id:
            raise Refused("its identity token was made for somebody else")
        return claims

    def _key(self, kid: str | None, algorithm: str) -> jwt.PyJWK:
        """Return the provider's key of that name, or its only one where the token names none."""
        with get_adapter().get_requests_session() as session:
            answer = session.get(self.openid_config["jwks_uri"])
            answer.raise_for_status()
        known = jwt.PyJWKSet.from_dict(answer.json()).keys
        fitting = [key for key in known if (key.key_id == kid if kid is not None else key.algorithm_name == algorithm)]
        if len(fitting) != 1:
            raise Refused(f"its identity token is signed by a key that it does not list: {kid!r}")
        return fitting[0]


OpenIDConnectProvider.oauth2_adapter_class = Provider  # the way there is asked of it, not of the views


class SingleSignOnAdapter(DefaultSocialAccountAdapter):
    """Who comes in by a provider, as whom, and with which roles."""

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Keep a known person's roles as the groups are; let a stranger in only with a role."""
        sociallogin.email_addresses = []  # an address proves nothing here and is nobody's alone
        if sociallogin.state.get("process") == "connect":
            return
        provider, grants = self._grants(sociallogin)
        if sociallogin.is_existing:
            self._apply(sociallogin.user, grants, provider, request)
        elif not grants:
            person = _claims(sociallogin)
            raise ImmediateHttpResponse(_nobody_here(request, person, groups.groups_in(person, provider)))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Say yes: who has no role was refused before."""
        return True

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Add the person, with the roles of their groups and without a password, or nothing of that."""
        provider, grants = self._grants(sociallogin)
        with transaction.atomic():
            user = _add_person(sociallogin, actor=_actor(request, sociallogin))
            sociallogin.user = user
            sociallogin.save(request)
            self._apply(user, grants, provider, request)
        return user

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """Show a page that says what to do; what a stranger may have written into the address is not repeated."""
        asked = request.GET
        if error == AuthError.CANCELLED or asked.get("error") == "access_denied":
            why = ""
        elif exception is not None:
            why = str(exception) or type(exception).__name__
        elif (extra_context or {}).get("state"):
            why = asked.get("error_description") or asked.get("error") or _("It sent no code.")
        else:
            why = _("The answer belongs to no sign-in that was begun in this browser, or to one that is too old.")
        raise ImmediateHttpResponse(failed(request, provider.name, why))

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: SocialAccount) -> str:
        """Return where connecting was begun."""
        return reverse("console:account")

    def _grants(self, sociallogin: SocialLogin) -> tuple[conf.ProviderSettings, frozenset[str]]:
        provider = conf.settings().sign_in.providers[sociallogin.account.provider]
        return provider, groups.grants_of(_claims(sociallogin), provider)

    def _apply(self, user: User, grants: frozenset[str], provider: conf.ProviderSettings, request: HttpRequest) -> None:
        if user.is_active:
            actor = Actor("system", "", f"groups at {provider.label or provider.issuer}", _request_id(request))
            groups.apply(user, grants, provider=provider, actor=actor)


@never_cache
@csrf_protect
def begin(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Lead to the provider, by a page of ours: the content policy lets no form lead elsewhere."""
    if request.method != "POST":
        return HttpResponseRedirect(reverse("console:login"))
    answer = _guarded(OAuth2LoginView, request, provider_id)
    if not isinstance(answer, HttpResponseRedirect):
        return answer
    return _entrance(request, "console/account/leaving.html", title=_("To the sign-in"), url=answer.url)


@never_cache
def come_back(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Take what the provider answers."""
    return _guarded(OAuth2CallbackView, request, provider_id)


def failed(request: HttpRequest, provider: str, why: str) -> HttpResponse:
    """Return the page for a sign-in that came to nothing; ``why`` is empty where the person gave it up."""
    if why:
        trail.sign_in_failed(request, provider=provider, why=why[:300])
    return _entrance(
        request,
        "console/account/failed.html",
        title=_("You are not signed in"),
        status=502 if why else 200,
        provider=provider,
        why=why[:300],
    )


def buttons() -> list[tuple[str, str]]:
    """Return the providers, each with the name that is written on its button."""
    return [(name, found.label or name) for name, found in conf.settings().sign_in.providers.items()]


def _guarded(view: Any, request: HttpRequest, provider_id: str) -> HttpResponseBase:
    if provider_id not in conf.settings().sign_in.providers:
        raise Http404
    try:
        answer: HttpResponseBase = view.adapter_view(Provider(request, provider_id))(request)
    except SocialApp.DoesNotExist as error:
        raise Http404 from error
    except (requests.RequestException, OAuth2Error, ModelpoolError, IntegrityError, *_Unusable) as error:
        logger.warning("signing in by %s did not work", provider_id, exc_info=True)
        label = conf.settings().sign_in.providers[provider_id].label or provider_id
        return failed(request, label, str(error) or type(error).__name__)
    return answer


def _claims(sociallogin: SocialLogin) -> Mapping[str, Any]:
    told = sociallogin.account.extra_data
    return {**told.get("id_token", {}), **told.get("userinfo", {})}


def _add_person(sociallogin: SocialLogin, *, actor: Actor) -> User:
    claims = _claims(sociallogin)
    wanted = str(claims.get("preferred_username") or claims.get("email") or claims.get("sub"))[:140]
    email = claims.get("email")
    for number in range(1, _MOST_NAMES):
        try:
            return services.create_user(
                wanted if number == 1 else f"{wanted}-{number}",
                password=None,
                actor=actor,
                email=email if isinstance(email, str) else "",
            )
        except NameTaken:
            continue
    raise Refused(f"there are many people of the name {wanted!r} already")


def _nobody_here(request: HttpRequest, claims: Mapping[str, Any], found: list[str]) -> HttpResponse:
    name = str(claims.get("preferred_username") or claims.get("email") or claims.get("sub"))
    return _entrance(
        request,
        "console/account/nobody_here.html",
        title=_("You have no access yet"),
        status=403,
        name=name[:200],
        groups=[group[:200] for group in found[:20]],
    )


def _entrance(request: HttpRequest, template: str, *, title: str, status: int = 200, **context: Any) -> HttpResponse:
    whole = {**site.each_context(request), "title": title, **context}
    return TemplateResponse(request, template, whole, status=status)


def _actor(request: HttpRequest, sociallogin: SocialLogin) -> Actor:
    return Actor("system", "", f"sign-in by {sociallogin.account.provider}", _request_id(request))


def _request_id(request: HttpRequest) -> str:
    return str(getattr(request, "request_id", ""))
