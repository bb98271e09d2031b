"""``modelpool manage openapi_snapshot``: write the description of the API where it is committed, or check it."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from modelpool.api.v1.schema import check_schema, schema_as_json


class Command(BaseCommand):
    """Writes ``docs/reference/openapi.json``, so that every change of the API is seen in a review."""

    help = "Write the OpenAPI document of the REST API to a file, or check that the file is current."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file and ``--check``."""
        parser.add_argument("file", nargs="?", type=Path, default=Path("docs/reference/openapi.json"))
        parser.add_argument("--check", action="store_true", help="fail when the file is not current; write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write or check."""
        file: Path = options["file"]
        check_schema()
        document = schema_as_json()
        is_current = file.exists() and file.read_bytes() == document
        if options["check"] and not is_current:
            raise CommandError(f"{file} is not current; run: modelpool manage openapi_snapshot")
        if not is_current:
            file.write_bytes(document)
        self.stdout.write(f"{file} is current.")
