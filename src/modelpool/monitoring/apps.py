"""The Django app of what is seen of the work."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Use of versions, and what is loaded where."""

    name = "modelpool.monitoring"
    label = "monitoring"
    verbose_name = "Monitoring"
    default_auto_field = "django.db.models.BigAutoField"
