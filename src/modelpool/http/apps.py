"""The Django app of what all wires share."""

from django.apps import AppConfig


class HttpConfig(AppConfig):
    """Idempotency records and the request gate."""

    name = "modelpool.http"
    label = "modelpool_http"
    default_auto_field = "django.db.models.BigAutoField"
