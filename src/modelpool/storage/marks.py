"""What the database remembers of the volumes of file-system stores."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from modelpool.core.errors import StoreUnavailable
from modelpool.storage.models import Artifact, Replica, StoreMark


@dataclass(frozen=True, slots=True)
class RecordedMark:
    """The mark of the store ``alias``: an empty or a foreign volume is not taken for it once it holds artifacts."""

    alias: str

    def may_start_empty(self) -> bool:
        """Whether the database knows of no bytes in this store."""
        holds_artifacts = Artifact.unscoped.filter(store=self.alias).exclude(sha256="").exists()
        return not (holds_artifacts or Replica.unscoped.filter(store=self.alias, state=Replica.State.READY).exists())

    def accept(self, mark: str) -> None:
        """Remember the mark; raise :class:`StoreUnavailable` when another volume's artifacts are known."""
        known = StoreMark.objects.filter(alias=self.alias).first()
        if known is not None and known.mark == mark:
            return
        if known is not None and not self.may_start_empty():
            raise StoreUnavailable(
                f"The marker of the artifact store {self.alias!r} is not the one that this installation knows; "
                f"another volume seems to be mounted, or another bucket named. Mount the right one, or correct "
                f"[stores.{self.alias}]."
            )
        StoreMark.objects.update_or_create(alias=self.alias, defaults={"mark": mark, "since": timezone.now()})
