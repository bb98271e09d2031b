"""The checks of ``modelpool doctor`` that need Django: database, migrations, stores, workers, trainers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.db import DatabaseError
from django.utils import timezone

from modelpool import conf
from modelpool.core.errors import ConfigurationError, ModelpoolError
from modelpool.server.doctor.diagnosis import Finding, Status, explain
from modelpool.server.processes.startup import set_up_django

_WORKER_LEASES = 4


def check_database(home: conf.Home) -> Iterator[Finding]:
    """The database answers and is migrated; then what is in it is looked at."""
    try:
        set_up_django()
        pending = _pending()
    except (ConfigurationError, DatabaseError) as error:
        yield Finding("database", Status.FAIL, explain(error), "check database.url, and that its server runs")
        return
    if pending:
        yield Finding(
            "database", Status.FAIL, "migrations are missing", "modelpool manage migrate (or start 'modelpool serve')"
        )
        return
    yield Finding("database", Status.OK, conf.settings().database.url.partition("://")[0] + ", migrated")
    yield from _check_stores()
    yield from _check_manifests()
    yield from _check_workers()
    yield from _check_trainers()


def _pending() -> bool:
    from modelpool.server.migrations import has_pending_migrations

    return has_pending_migrations()


def _check_stores() -> Iterator[Finding]:
    from modelpool.storage.services import get_store

    for alias in sorted(conf.settings().stores):
        try:
            get_store(alias).check()
            yield Finding(f"store {alias}", Status.OK, "can be written")
        except (ModelpoolError, DatabaseError, OSError) as error:
            yield Finding(f"store {alias}", Status.FAIL, explain(error), f"mount its volume, or correct stores.{alias}")


def _check_manifests() -> Iterator[Finding]:
    """Every version is signed by a key that is trusted here, and none is in quarantine."""
    from modelpool.registry.models import ModelVersion
    from modelpool.registry.resigning import count_by_key
    from modelpool.registry.signing import trusted_keys

    try:
        known, counts = trusted_keys(), count_by_key()
    except ConfigurationError as error:
        yield Finding("manifests", Status.FAIL, str(error), "correct the keys of [signing]")
        return
    foreign = sum(n_versions for key_id, n_versions in counts.items() if key_id not in known)
    held = ModelVersion.unscoped.exclude(state=ModelVersion.State.DELETED).filter(quarantined_at__isnull=False).count()
    if foreign:
        detail = f"{foreign} versions are not signed by a key that is trusted here, and are not loaded"
        yield Finding(
            "manifests", Status.WARN, detail, "modelpool manage signing_keys list; add the keys of other nodes"
        )
    if held:
        detail = f"{held} versions are in quarantine"
        yield Finding(
            "quarantine", Status.WARN, detail, "look at their reasons in the console, then release or delete them"
        )
    if not foreign and not held:
        yield Finding("manifests", Status.OK, f"{sum(counts.values())} versions, all signed by trusted keys")


def _check_workers() -> Iterator[Finding]:
    from modelpool.training.models import JobWorker, TrainingJob

    since = timezone.now() - timedelta(seconds=_WORKER_LEASES * conf.settings().jobs.lease)
    alive = JobWorker.objects.filter(seen_at__gte=since).count()
    waiting = TrainingJob.unscoped.filter(state=TrainingJob.State.QUEUED).count()
    if alive:
        yield Finding("workers", Status.OK, f"{alive} alive, {waiting} jobs waiting")
    else:
        detail = f"no job worker is alive, {waiting} jobs wait"
        yield Finding("workers", Status.WARN, detail, "start 'modelpool serve' or 'modelpool worker'")


def _check_trainers() -> Iterator[Finding]:
    from modelpool.training.models import TrainerInfo, TrainerProblem

    for problem in TrainerProblem.objects.order_by("source"):
        yield Finding(
            f"trainer {problem.source}",
            Status.WARN,
            problem.detail,
            "correct the file; workers look again by themselves",
        )
    names = list(TrainerInfo.objects.order_by("name").values_list("name", flat=True))
    if names:
        yield Finding("trainers", Status.OK, ", ".join(names))
    else:
        yield Finding("trainers", Status.WARN, "none is offered yet", "start 'modelpool serve' or 'modelpool worker'")
