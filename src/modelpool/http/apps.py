"""The Django app of what all wires share."""

from django.apps import AppConfig
from django.core.checks import register


class HttpConfig(AppConfig):
    """Idempotency records, the request gate, the check that every route declares a permission."""

    name = "modelpool.http"
    label = "modelpool_http"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the check of routes; it needs the views, which need the other apps."""
        from modelpool.http.checks import check_permissions_are_declared

        register(check_permissions_are_declared)
