"""The Django app of datasets and training jobs."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Datasets, jobs, workers, trainers."""

    name = "modelpool.training"
    label = "training"
    verbose_name = "Training"
    default_auto_field = "django.db.models.BigAutoField"
