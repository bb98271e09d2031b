"""Django's settings, derived from ``modelpool.toml`` and the environment by :mod:`modelpool.conf`."""

from __future__ import annotations

from typing import Any

from modelpool import conf
from modelpool.console.look import UNFOLD as UNFOLD  # noqa: PLC0414  a setting of django-unfold
from modelpool.server.addresses import allowed_hosts, public_origin
from modelpool.server.database import database_settings
from modelpool.server.providers import provider_apps

HOME = conf.home().prepare()
_SETTINGS = conf.settings()

DEBUG = False
SECRET_KEY = conf.secret_key(HOME, _SETTINGS.server)
ALLOWED_HOSTS = allowed_hosts(_SETTINGS.server)
ROOT_URLCONF = "modelpool.server.urls"
WSGI_APPLICATION = "modelpool.server.wsgi.application"
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = True

INSTALLED_APPS = [
    "modelpool.console",  # before the admin, whose templates it extends
    "unfold.apps.BasicAppConfig",
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "modelpool.tenants",
    "modelpool.storage",
    "modelpool.registry",
    "modelpool.training",
    "modelpool.monitoring",
    "modelpool.http",
    "modelpool.api.v1",
    "modelpool.server",
]

MIDDLEWARE = [
    "modelpool.http.middleware.RequestIdMiddleware",
    "modelpool.http.gate.RequestGateMiddleware",
    "modelpool.http.content_security.ContentSecurityMiddleware",
    "modelpool.http.middleware.UnkeptPagesMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "modelpool.console.account.sessions.LastSeenMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": database_settings(_SETTINGS.database, home=HOME)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "tenants.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "console:login"
LOGIN_REDIRECT_URL = "console:home"

CACHES = {  # counts of guesses and used codes: all processes of all nodes must see the same
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "modelpool_cache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}
ACCOUNT_ADAPTER = "modelpool.console.account.adapters.AccountAdapter"
ACCOUNT_CHANGE_EMAIL = False
ACCOUNT_EMAIL_VERIFICATION = "none"  # an installation may have no way to send e-mail
ACCOUNT_FORMS = {
    "login": "modelpool.console.account.forms.SignIn",
    "reauthenticate": "modelpool.console.account.forms.Confirm",
    "change_password": "modelpool.console.account.forms.ChangePassword",
}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_LOGOUT_REDIRECT_URL = "console:login"
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_SESSION_REMEMBER = True  # for as long as SESSION_COOKIE_AGE; nobody is asked
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
SOCIALACCOUNT_ADAPTER = "modelpool.console.account.single_sign_on.SingleSignOnAdapter"
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": provider_apps(_SETTINGS.sign_in.providers)}
}
SOCIALACCOUNT_LOGIN_ON_GET = True  # our own address takes POST only
SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True  # a borrowed screen must not get a way in of its own
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
MFA_ADAPTER = "modelpool.console.account.adapters.SecondFactorAdapter"
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "authenticate": "modelpool.console.account.forms.SecondFactor",
    "reauthenticate": "modelpool.console.account.forms.ConfirmByCode",
    "activate_totp": "modelpool.console.account.forms.NewAuthenticator",
}
MFA_TOTP_ISSUER = "Modelpool"
MFA_TOTP_TOLERANCE = 1  # codes of half a minute before and after, for clocks that differ

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
SILENCED_SYSTEM_CHECKS: list[str] = []

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = int(_SETTINGS.sign_in.session_life)
CSRF_COOKIE_SAMESITE = "Lax"
_ORIGIN = public_origin(_SETTINGS.server)
_HAS_TLS = _ORIGIN.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HAS_TLS
CSRF_TRUSTED_ORIGINS = [_ORIGIN] if _ORIGIN else []
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _HAS_TLS else 0
X_FRAME_OPTIONS = "DENY"

DATA_UPLOAD_MAX_MEMORY_SIZE = int(_SETTINGS.limits.max_json)
DATA_UPLOAD_MAX_NUMBER_FIELDS = 1000  # the form of a model with 500 inputs, or 200 versions that are ticked
DATA_UPLOAD_MAX_NUMBER_FILES = 4
FILE_UPLOAD_HANDLERS = ["modelpool.http.upload_handler.FormFileHandler"]
FILE_UPLOAD_TEMP_DIR = str(HOME.tmp_dir)
FILE_UPLOAD_PERMISSIONS = 0o640

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["modelpool.http.authentication.KeyOrSession"],
    "DEFAULT_PERMISSION_CLASSES": ["modelpool.http.permissions.DenyAll"],
    "DEFAULT_RENDERER_CLASSES": ["modelpool.http.rendering.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "modelpool.http.rendering.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "modelpool.http.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Modelpool",
    "VERSION": "1",
    "DESCRIPTION": "Train, keep, compare, activate and serve pools of machine-learning models for many tenants.",
    "LICENSE": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["modelpool.http.openapi.add_structs"],
    "PATH_CONVERTER_OVERRIDES": {
        "id": {"type": "string", "format": "uuid"},
        "number": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    },
}

LOGGING_CONFIG = None  # each process sets its logging up itself: server/telemetry/logs.py
