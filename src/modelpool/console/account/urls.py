"""The steps of signing in, by the names that django-allauth leads to; what it offers besides is not there."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from modelpool.console.account import single_sign_on, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("login/", views.SignIn.as_view(), name="account_login"),
    path("logout/", views.SignOut.as_view(), name="account_logout"),
    path("login/second-factor/", views.SecondFactor.as_view(), name="mfa_authenticate"),
    path("login/by/<str:provider_id>/", single_sign_on.begin, name="openid_connect_login"),
    path("login/by/<str:provider_id>/back/", single_sign_on.come_back, name="openid_connect_callback"),
    path("account/confirm/", views.Confirm.as_view(), name="account_reauthenticate"),
    path("account/confirm-by-code/", views.ConfirmByCode.as_view(), name="mfa_reauthenticate"),
    path("account/password/", views.ChangePassword.as_view(), name="account_change_password"),
    path("account/second-factor/new/", views.NewAuthenticator.as_view(), name="mfa_activate_totp"),
    path("account/second-factor/remove/", views.RemoveAuthenticator.as_view(), name="mfa_deactivate_totp"),
    path("account/recovery-codes/", views.RecoveryCodes.as_view(), name="mfa_view_recovery_codes"),
    path("account/recovery-codes/new/", views.NewRecoveryCodes.as_view(), name="mfa_generate_recovery_codes"),
    path("account/recovery-codes/file/", views.RecoveryCodesFile.as_view(), name="mfa_download_recovery_codes"),
]
