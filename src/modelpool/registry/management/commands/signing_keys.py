"""``modelpool manage signing_keys``: look at, change and withdraw the keys that manifests are signed with."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from modelpool.core.errors import ModelpoolError
from modelpool.core.manifests import SCOPES
from modelpool.registry.resigning import (
    SigningReport,
    adopt_versions,
    announce_models_of,
    count_by_key,
    resign_versions,
    untrusted,
)
from modelpool.registry.signing import active_key_ids, distrust_key, rotate_key, trusted_keys
from modelpool.tenants import audit
from modelpool.tenants.actors import Actor

_ACTOR = Actor(kind="system", id="", label="signing_keys")


class Command(BaseCommand):
    """One sub-command each."""

    help = "Look at, rotate and withdraw the keys that sign the manifests of versions."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the sub-commands."""
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("list", help="Show the trusted keys, which of them are in use, and what they signed.")
        rotate = commands.add_parser("rotate", help="Sign with a new key; the old one stays trusted.")
        rotate.add_argument("scope", choices=SCOPES)
        commands.add_parser("resign", help="Sign anew, with the keys in use, what older trusted keys have signed.")
        distrust = commands.add_parser("distrust", help="Trust a key no more; what it signed is not loaded any more.")
        distrust.add_argument("key")
        distrust.add_argument("--force", action="store_true", help="Also while it has signed versions.")
        adopt = commands.add_parser("adopt", help="Believe and sign versions that nobody has signed.")
        adopt.add_argument("--lost-keys", action="store_true", help="Also those of keys that are not trusted here.")

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        """Run the sub-command; what cannot be done is said and ends with status 1."""
        try:
            getattr(self, f"_{command}")(options)
        except ModelpoolError as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        counts, active = dict(count_by_key()), active_key_ids()
        for key_id, key in sorted(trusted_keys().items()):
            state = "in use" if key_id in active else "trusted"
            self.stdout.write(f"{key_id}  {state:7}  {counts.pop(key_id, 0)} versions  {key}")
        for key_id, n_versions in sorted(counts.items()):
            what = f"{key_id}  not trusted" if key_id else "without a manifest"
            self.stdout.write(f"{what}  {n_versions} versions")

    def _rotate(self, options: dict[str, Any]) -> None:
        key = rotate_key(options["scope"])
        audit.record("signing.rotate", actor=_ACTOR, tenant=None, target=key.id)
        self.stdout.write(f"{key.id} signs from now on; its public half, for other nodes: {key.verifying}")

    def _resign(self, options: dict[str, Any]) -> None:
        self._tell(resign_versions(actor=_ACTOR, progress=self._count))

    def _adopt(self, options: dict[str, Any]) -> None:
        which = Q(manifest__isnull=True) | untrusted() if options["lost_keys"] else Q(manifest__isnull=True)
        self._tell(adopt_versions(which, actor=_ACTOR, progress=self._count))

    def _distrust(self, options: dict[str, Any]) -> None:
        key_id = options["key"]
        n_versions = count_by_key().get(key_id, 0)
        if key_id in active_key_ids():
            raise CommandError(f"{key_id} is in use; rotate it first.")
        if n_versions and key_id in trusted_keys() and not options["force"]:
            raise CommandError(
                f"{key_id} has signed {n_versions} versions; run 'signing_keys resign' first, or --force."
            )
        if not distrust_key(key_id):
            raise CommandError(f"{key_id} is not in signing.trusted_keys_folder; see 'signing_keys list'.")
        audit.record("signing.distrust", actor=_ACTOR, tenant=None, target=key_id, details={"versions": n_versions})
        announce_models_of(key_id)
        self.stdout.write(f"{key_id} is trusted no more")

    def _count(self, signed: int) -> None:
        self.stdout.write(f"{signed} …")

    def _tell(self, report: SigningReport) -> None:
        self.stdout.write(f"signed {report.signed} versions")
        for sentence in report.refused:
            self.stderr.write(f"not signed: {sentence}")
        if report.refused:
            raise CommandError(f"{len(report.refused)} versions are not signed; see above.", returncode=1)
