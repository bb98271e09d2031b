"""The Django app of the console."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The admin UI under ``/console/``."""

    name = "modelpool.console"
    label = "console"
    verbose_name = "Console"

    def ready(self) -> None:
        """Write signing in down in the audit trail."""
        from modelpool.console.account import trail  # noqa: F401  tables can be imported from here on
