"""Machines as they tell of themselves: web processes, job workers, and the models that are in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from modelpool import conf
from modelpool.monitoring.models import LoadedVersion, ServingProcess
from modelpool.monitoring.querysets import largest_loaded, living_processes
from modelpool.registry.models import ModelVersion
from modelpool.storage.health import troubles_lately
from modelpool.storage.models import StoreTrouble
from modelpool.training.models import JobWorker, TrainingJob

_SHOWN = 200
_WORKER_LEASES = 2
"""A worker that gave no sign of life for so many leases is dead."""
_QUIET = timedelta(seconds=75)
"""A web process gives a sign of life each minute at least; one that is later than this may hang."""


@dataclass(frozen=True, slots=True)
class Process:
    """A web process."""

    row: ServingProcess
    age_s: int

    @property
    def is_quiet(self) -> bool:
        """Whether its sign of life is overdue."""
        return self.age_s > _QUIET.total_seconds()


@dataclass(frozen=True, slots=True)
class Worker:
    """A job worker, and the job that it is at."""

    row: JobWorker
    age_s: int
    is_alive: bool
    job: TrainingJob | None


@dataclass(slots=True)
class Held:
    """A version in the memory of one machine."""

    version: ModelVersion
    size_bytes: int = 0
    """In all its processes together."""
    n_processes: int = 0
    since: datetime | None = None


@dataclass(slots=True)
class Machine:
    """What runs under one host name."""

    name: str
    processes: list[Process] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    troubles: list[StoreTrouble] = field(default_factory=list)
    """The last failures of stores there, of the last day."""

    @property
    def held_bytes(self) -> int:
        """The memory of all models, each counted once for each process."""
        return sum(process.row.held_bytes for process in self.processes)

    @property
    def budget_bytes(self) -> int:
        """What they may hold."""
        return sum(process.row.budget_bytes for process in self.processes)

    @property
    def high_bytes(self) -> float:
        """From where on loading another model will likely drop one."""
        return self.budget_bytes * 0.9


def machines() -> list[Machine]:
    """Return the machines that gave a sign of life lately, by name, in five queries."""
    found: dict[str, Machine] = {}
    now = timezone.now()

    def named(name: str) -> Machine:
        return found.setdefault(name, Machine(name))

    for row in living_processes():
        named(row.node).processes.append(Process(row, _seconds(now - row.seen_at)))
    for worker in workers():
        named(worker.row.host).workers.append(worker)
    for name, held in _held(largest_loaded(limit=_SHOWN)).items():
        named(name).held = held
    for trouble in troubles_lately():
        named(trouble.node).troubles.append(trouble)
    return [found[name] for name in sorted(found)]


def workers() -> list[Worker]:
    """Return the job workers that signed off or died not long ago, the living first."""
    now = timezone.now()
    alive_for = timedelta(seconds=_WORKER_LEASES * conf.settings().jobs.lease)
    rows = list(JobWorker.objects.order_by("host", "started_at"))
    running = TrainingJob.unscoped.filter(state=TrainingJob.State.RUNNING).select_related("tenant", "model")
    jobs = {job.worker.rpartition(":")[2]: job for job in running} if rows else {}
    found = [
        Worker(row, _seconds(now - row.seen_at), now - row.seen_at <= alive_for, jobs.get(row.id.hex[:8]))
        for row in rows
    ]
    return sorted(found, key=lambda worker: not worker.is_alive)


def _held(rows: Iterable[LoadedVersion]) -> dict[str, list[Held]]:
    """Add up by machine and version; those that take most come first."""
    found: dict[str, dict[object, Held]] = defaultdict(dict)
    for row in rows:
        held = found[row.process.node].setdefault(row.version_id, Held(row.version))
        held.size_bytes += row.size_bytes
        held.n_processes += 1
        held.since = row.since if held.since is None else min(held.since, row.since)
    return {name: sorted(by_version.values(), key=lambda held: -held.size_bytes) for name, by_version in found.items()}


def _seconds(age: timedelta) -> int:
    return max(0, round(age.total_seconds()))
