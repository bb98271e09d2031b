"""``modelpool manage sweep_artifacts``: remove what interrupted uploads and deletions left behind."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from modelpool import conf
from modelpool.storage.services import SweepReport, sweep


class Command(BaseCommand):
    """Sweep all artifact stores."""

    help = "Remove interrupted uploads, deleted artifacts and stored objects that nothing names."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare ``--grace`` and ``--dry-run``."""
        parser.add_argument(
            "--grace",
            type=_duration,
            default=None,
            help="Leave alone what is younger, such as '1h' (limits.orphan_grace).",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be removed.")

    def handle(self, *args: Any, grace: float | None, dry_run: bool, verbosity: int, **options: Any) -> None:
        """Run the sweep; the exit status is 1 when artifacts are missing or a store was left alone."""
        grace_s = conf.settings().limits.orphan_grace if grace is None else grace
        report = sweep(grace_s=grace_s, is_dry_run=dry_run, progress=self._tell if verbosity > 1 else lambda _: None)
        self.stdout.write(_summary(report))
        for key in report.missing:
            self.stderr.write(f"missing or damaged: {key}")
        for alias, reason in report.skipped.items():
            self.stderr.write(f"left alone: store {alias}: {reason}")
        if report.missing or report.skipped:
            raise CommandError("The artifact stores are not as they should be; see above.", returncode=1)

    def _tell(self, sentence: str) -> None:
        self.stdout.write(sentence)


def _duration(text: str) -> float:
    return conf.parse_duration(text)


def _summary(report: SweepReport) -> str:
    verb = "would remove" if report.is_dry_run else "removed"
    return (
        f"{verb}: {report.expired_uploads} interrupted uploads, {report.removed_artifacts} deleted artifacts, "
        f"{report.removed_objects} orphans of {report.removed_bytes} bytes, {report.removed_partial} partial files, "
        f"{report.removed_temporary} temporary files"
    )
