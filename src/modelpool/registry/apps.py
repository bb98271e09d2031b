"""The Django app of registered models."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Models, versions, aliases, activation."""

    name = "modelpool.registry"
    label = "registry"
    verbose_name = "Models"
    default_auto_field = "django.db.models.BigAutoField"
