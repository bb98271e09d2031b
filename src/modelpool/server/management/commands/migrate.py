"""``modelpool manage migrate``: Django's command, by one process at a time, and giving way to those who read."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections

from modelpool.core.errors import DatabaseUnavailable
from modelpool.server.migrations import apply_migrations


class Command(migrate.Command):
    """Updates the tables while servers go on reading them."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, or only tell what would be done."""
        if options.get("plan") or options.get("check_unapplied"):
            super().handle(*args, **options)
            return
        run = super().handle
        try:
            apply_migrations(lambda: run(*args, **options), database=connections[options["database"]])
        except DatabaseUnavailable as error:
            raise CommandError(str(error)) from error
