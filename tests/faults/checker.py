"""The invariants, compared with what clients were told.

No acknowledged version is lost or changed, none that is half-written can be seen, exactly one is active, the answers
are those of versions that were active, and after a sweep every stored byte belongs to a version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.faults.history import DONE, REFUSED, History, Operation

STALE_S = 5.0
"""How long a process may take to hear of an activation."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A version as it is at the end; ``fetch`` downloads it and returns the digest, or what is wrong."""

    number: int
    sha256: str
    is_active: bool
    fetch: Callable[[], str]


Final = Mapping[tuple[str, str], list[Seen]]
"""The visible versions of each tenant's models."""


@dataclass(slots=True)
class Checker:
    """Gathers what is wrong; ``faults`` is empty when all is well."""

    history: History
    final: Final
    stale_s: float = STALE_S
    faults: list[str] = field(default_factory=list)

    def check(self) -> list[str]:
        """Look at everything."""
        self._check_answers()
        for (tenant, model), versions in self.final.items():
            self._check_versions(tenant, model, versions)
            self._check_active(tenant, model, versions)
            self._check_numbers(tenant, model)
            self._check_reads(tenant, model)
        return self.faults

    def _say(self, operation: Operation | None, words: str) -> None:
        self.faults.append(f"{words}: {operation}" if operation else words)

    def _check_answers(self) -> None:
        for one in self.history.operations:
            if one.status in (500, 501, 502, 504):
                self._say(one, "an error that nobody foresaw")

    def _check_versions(self, tenant: str, model: str, versions: list[Seen]) -> None:
        made = self.history.of("register", tenant, model)
        numbers = [seen.number for seen in versions]
        if len(set(numbers)) != len(numbers):
            self._say(None, f"{tenant}/{model} has a number twice: {numbers}")
        there = {seen.number: seen for seen in versions}
        for one in made:
            if one.result == DONE and one.version is not None:
                self._check_acknowledged(one, there.get(one.version))
        may_be_there = {one.sha256 for one in made if one.result != REFUSED}
        for seen in versions:
            if seen.sha256 not in may_be_there:
                self._say(None, f"{tenant}/{model}/{seen.number} was refused, or sent by nobody")
            if (found := seen.fetch()) != seen.sha256:
                self._say(None, f"{tenant}/{model}/{seen.number} is not what it says: {found}")

    def _check_acknowledged(self, made: Operation, seen: Seen | None) -> None:
        tries = self.history.of("delete", made.tenant, made.model, version=made.version)
        if seen is None and all(one.result == REFUSED for one in tries):
            self._say(made, "an acknowledged version is lost")
        if seen is not None and any(one.result == DONE for one in tries):
            self._say(made, "a deleted version is there")
        if seen is not None and seen.sha256 != made.sha256:
            self._say(made, f"an acknowledged version has changed to {seen.sha256}")
        for one in self.history.of("download", made.tenant, made.model, version=made.version, result=DONE):
            if one.sha256 != made.sha256:
                self._say(one, "wrong bytes were handed out")
        for op in ("download", "activate", "delete"):
            for one in self.history.of(op, made.tenant, made.model, version=made.version, status=404):
                if one.began > made.ended and not any(gone.began < one.ended for gone in tries if gone is not one):
                    self._say(one, "an acknowledged version was not found")

    def _check_active(self, tenant: str, model: str, versions: list[Seen]) -> None:
        active = [seen.number for seen in versions if seen.is_active]
        if len(active) != 1:
            self._say(None, f"{tenant}/{model} has {len(active)} active versions: {active}")

    def _check_numbers(self, tenant: str, model: str) -> None:
        made = self.history.of("register", tenant, model, result=DONE)
        numbers = [one.version for one in made]
        if len(set(numbers)) != len(numbers):
            self._say(None, f"{tenant}/{model}: a number was given twice: {sorted(map(str, numbers))}")
        for one in made:
            for other in made:
                if one.ended < other.began and (one.version or 0) >= (other.version or 0):
                    self._say(other, f"has a lower number than one that was there before, {one.version}")

    def _check_reads(self, tenant: str, model: str) -> None:
        """The active version is a register: a read is some write, not older than the last that had ended before."""
        made = self.history.of("register", tenant, model)
        number_of = {one.value: one.version for one in made}
        writes = [one for one in self.history.of("activate", tenant, model) if one.result != REFUSED]
        writes += made[:1]  # the first version of a model is active at once
        for read in self.history.of("predict", tenant, model, result=DONE):
            if read.value not in number_of:
                self._say(read, "an answer that no version of the model gives")
                continue
            number = number_of[read.value]
            candidates = [one for one in writes if one.version == number and one.began <= read.ended]
            if not candidates:
                self._say(read, f"the answer of version {number}, which nobody had activated")
            elif all(self._is_overwritten(one, read, writes) for one in candidates):
                self._say(read, f"the answer of version {number}, which was not active any more")

    def _is_overwritten(self, write: Operation, read: Operation, writes: list[Operation]) -> bool:
        if write.result != DONE:
            return False
        later = [one for one in writes if one.result == DONE and one.began > write.ended]
        return any(one.ended < read.began - self.stale_s for one in later)
