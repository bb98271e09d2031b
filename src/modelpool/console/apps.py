"""The Django app of the console."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The admin UI under ``/console/``."""

    name = "modelpool.console"
    label = "console"
    verbose_name = "Console"
