"""The Django app of what all wires share."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, register


class HttpConfig(AppConfig):
    """Idempotency records, the request gate, the check that every route declares a permission."""

    name = "modelpool.http"
    label = "modelpool_http"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the check of routes."""
        register(_check_routes)


def _check_routes(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Import the views only when checks are run: workers and commands have no use for them."""
    from modelpool.http.checks import check_permissions_are_declared

    return check_permissions_are_declared(app_configs, **kwargs)
