"""The trainers on offer, found by looking into every source in a child process of its own."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from modelpool import conf
from modelpool.training.child_tasks import TaskFailed, TaskInterrupted, collect
from modelpool.training.forkserver import ForkServer
from modelpool.training.messages import Task, TrainerEntry, TrainersRequest, TrainersResult
from modelpool.training.models import TrainerInfo, TrainerProblem
from modelpool.training.trainer_sources import FOLDER, list_sources, user_files
from modelpool.training.work_folders import work_folder

logger = logging.getLogger(__name__)

_TIMEOUT_S = 60.0
_ATTEMPTS = 3
_MEMORY_BYTES = 4 << 30

Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the sources offer, by name, and what is wrong with those that offer nothing, by source."""

    entries: dict[str, TrainerEntry]
    problems: dict[str, str]


def trainers_dir() -> Path:
    """Return the folder for a user's own trainers, ``trainers`` in the home folder."""
    return conf.home().path / FOLDER


def fingerprint() -> Fingerprint:
    """Return names, times and sizes of the user's files; when it changes, the catalogue may have."""
    found = []
    for path in user_files(trainers_dir()):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(sorted(found))


def is_written() -> bool:
    """Whether the table offers anything at all."""
    return TrainerInfo.objects.exists()


def refresh_catalogue(forks: ForkServer | None = None) -> Catalogue:
    """Look into all sources and write what they offer to the table of trainers; a source that fails breaks no other.

    Without ``forks`` a zygote is started for this call alone. Raises :class:`TaskInterrupted`, and changes nothing,
    when the worker ends meanwhile, or no process can be started.
    """
    if forks is None:
        with closing(ForkServer(is_warm=False)) as own:
            return refresh_catalogue(own)
    catalogue = scan(forks)
    _write(catalogue)
    for source, problem in catalogue.problems.items():
        logger.warning("trainers of %s are not offered: %s", source, problem)
    return catalogue


def scan(forks: ForkServer) -> Catalogue:
    """Look into all sources; of two trainers of one name, that of the earlier source is kept."""
    catalogue = Catalogue({}, {})
    for source in list_sources(configured=conf.settings().jobs.trainers, trainers_dir=trainers_dir()):
        result = _ask(forks, source)
        if result.problem:
            catalogue.problems[source] = result.problem
        for entry in result.trainers:
            owner = catalogue.entries.setdefault(entry.name, entry)
            if owner is not entry:
                catalogue.problems[source] = f"the name {entry.name!r} is taken by {owner.source}; choose another"
    return catalogue


def _ask(forks: ForkServer, source: str) -> TrainersResult:
    """Look into one source; when the zygote is lost meanwhile, which may be nothing of the source's, look again."""
    request = TrainersRequest(source=source, trainers_dir=str(trainers_dir()))
    for _ in range(_ATTEMPTS):
        with work_folder("trainers") as folder:
            task = Task(entry="trainers", folder=str(folder), memory_limit_bytes=_MEMORY_BYTES)
            try:
                return collect(forks, task, request=request, result=TrainersResult, timeout_s=_TIMEOUT_S)
            except TaskInterrupted as error:
                if forks.is_closed or isinstance(error.__cause__, OSError):
                    raise
            except TaskFailed as error:
                return TrainersResult(problem=str(error))
    return TrainersResult(problem=f"its process and that process's parent were lost, {_ATTEMPTS} times in a row")


def _write(catalogue: Catalogue) -> None:
    """Bring the tables up to date; a row that stays the same is not written."""
    with transaction.atomic():
        TrainerInfo.objects.exclude(name__in=catalogue.entries).delete()
        old = {row.name: row for row in TrainerInfo.objects.all()}
        for name, entry in catalogue.entries.items():
            values = {
                "description": entry.description,
                "params_schema": entry.params_schema,
                "source": entry.source[:200],
            }
            row = old.get(name)
            if row is None or any(getattr(row, key) != value for key, value in values.items()):
                TrainerInfo.objects.update_or_create(name=name, defaults=values)
        problems = {source[:200]: detail for source, detail in catalogue.problems.items()}
        TrainerProblem.objects.exclude(source__in=problems).delete()
        for source, detail in problems.items():
            TrainerProblem.objects.update_or_create(source=source, defaults={"detail": detail})
