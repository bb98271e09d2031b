"""One trial: clients at work, something goes wrong, then it does not any more; then everything is compared."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.checker import STALE_S, Checker
from tests.faults.clients import Load, Tenant
from tests.faults.history import UNKNOWN, History
from tests.faults.mischief import EVERYBODY, Mischief
from tests.faults.site import Site

_numbers = itertools.count(1)
_MOVES = 4
_STILL_UNDER_WAY = 3  # looks, before something that is left over is a fault


@dataclass(slots=True)
class Trial:
    """Models of this trial's own, what clients were told of them, and how long it may take to hear of an activation."""

    site: Site
    tenants: Sequence[Tenant]
    models: Sequence[str]
    history: History
    is_strict: bool = True
    """Whether tenants of other stores must not notice."""
    stale_s: float = STALE_S
    recovered_s: float = 0.0
    faults: list[str] = field(default_factory=list)

    @contextmanager
    def load(self, *, each: int = 2, seed: int = 0) -> Iterator[Load]:
        """Clients at work for a ``with`` block."""
        with Load(self.tenants, self.history, self.models, each=each, seed=seed) as load:
            yield load

    def endure(self, mischief: Mischief, *, seconds: float | None = None) -> None:
        """Let it happen for so long, or for its own time, while everybody else must not notice."""
        began = time.monotonic()
        with mischief.at(self.site):
            time.sleep(mischief.seconds if seconds is None else seconds)
        self.stale_s = max(self.stale_s, STALE_S + time.monotonic() - began)
        is_confined = self.site.has_volume or not mischief.needs_volume
        if self.is_strict and is_confined and mischief.hurts != EVERYBODY:
            self._find_unharmed(began, [self.site.tenants[store].name for store in mischief.hurts], mischief.name)

    def move(self, tenant: Tenant, to: str, *, failpoint: str = "") -> bool:
        """Move a tenant's files, once; say whether that came to its end. With a failpoint, it is killed there."""
        return self._mover(tenant, to, failpoint)[0] == 0

    def is_killed(self, tenant: Tenant, to: str, *, step: str) -> bool:
        """Move, and say whether the mover was killed when it came to the step."""
        return self._mover(tenant, to, step)[0] == -signal.SIGKILL

    def _mover(self, tenant: Tenant, to: str, failpoint: str) -> tuple[int, Any]:
        command = ("store", "move", "--tenant", tenant.name, "--to", to, "--keep", "0s")
        return self.site.run(*command, failpoint=failpoint, check=False)

    def finish_move(self, tenant: Tenant, to: str) -> None:
        """Move again until all is moved, as if what dead ones had begun were swept each time."""
        for _ in range(_MOVES):
            self.site.sweep()
            code, report = self._mover(tenant, to, "")
            if code == 0:
                return
        self.faults.append(f"the files of {tenant.name} do not come to {to}: {report}")

    def wait_until_well(self) -> None:
        """Wait until everything works again, by itself."""
        took_s = self.site.wait_until_well(self.history, self.tenants, self.models)
        self.recovered_s = max(self.recovered_s, took_s)

    def conclude(self) -> list[str]:
        """Wait until everything works again, sweep, and return all that is not as it should be."""
        self.wait_until_well()
        self.site.release_quarantined(self.tenants, self.models)
        for _ in range(_STILL_UNDER_WAY):
            self.site.sweep()
            left = self.site.unaccounted()
            if not left:
                break
        return [*self.faults, *left, *self.compared()]

    def compared(self) -> list[str]:
        """Compare what clients were told with what can be seen and fetched now."""
        final = self.site.final(self.tenants, self.models)
        return Checker(self.history, final, stale_s=self.stale_s).check()

    def told(self) -> str:
        """Return how many operations ended how."""
        return ", ".join(
            f"{count} {result}" for result, count in Counter(o.result for o in self.history.operations).items()
        )

    def _find_unharmed(self, began: float, hurt: Sequence[str], name: str) -> None:
        others = self.history.since(began, lambda one: one.tenant not in hurt and one.result == UNKNOWN)
        self.faults += [f"{name} is none of its business: {one}" for one in others]


@contextmanager
def begin_trial(site: Site, file: Path, *, stores: Sequence[str] | None = None, models: int = 2) -> Iterator[Trial]:
    """Make models for the tenants of these stores, or of all."""
    tenants = [site.tenants[store] for store in stores or site.tenants]
    names = [f"m{next(_numbers)}" for _ in range(models)]
    trial = Trial(site, tenants, names, History(file))
    with ThreadPoolExecutor(len(tenants)) as threads:
        list(threads.map(lambda tenant: site.begin_models(trial.history, [tenant], names), tenants))
    yield trial
