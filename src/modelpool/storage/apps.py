"""The Django app of artifacts."""

from django.apps import AppConfig


class StorageConfig(AppConfig):
    """Artifacts and their stores."""

    name = "modelpool.storage"
    label = "storage"
    verbose_name = "Storage"
    default_auto_field = "django.db.models.BigAutoField"
