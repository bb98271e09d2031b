"""The Django app of tenants, people and keys."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Tenants, people, keys, audit, change feed."""

    name = "modelpool.tenants"
    label = "tenants"
    verbose_name = "Tenants"
    default_auto_field = "django.db.models.BigAutoField"
