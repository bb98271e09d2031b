"""The worker's part of datasets from elsewhere: run the query in a child, or copy the object, and keep the file.

Both are copies: what is trained on must not change or vanish with the database or the folder it came from, and its
digest must be known.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from modelpool import conf
from modelpool.core.artifacts import ObjectMissing
from modelpool.core.errors import ConfigurationError, DatasetNotFound, InvalidField, ModelpoolError, StoreUnavailable
from modelpool.storage.models import Artifact
from modelpool.storage.services import discard_artifact, get_store, mark_ready, store_artifact
from modelpool.training.child_tasks import TaskFailed, TaskInterrupted, collect
from modelpool.training.forkserver import ForkServer
from modelpool.training.messages import QueryRequest, QueryResult, Task
from modelpool.training.models import Dataset
from modelpool.training.profiling import look_again_later
from modelpool.training.publish import pieces_of
from modelpool.training.sources import sources_of
from modelpool.training.work_folders import work_folder

logger = logging.getLogger(__name__)

_CLAIM_S = 1800.0
"""For storing what came, beyond the time that the source itself may take."""
_MEMORY_BYTES = 2 << 30
_NICE = 15
_TABLE_FILE = "table.parquet"


class CannotFetch(Exception):
    """The source does not give the table; the message is for whoever asked for it."""


def fetch_next(forks: ForkServer) -> bool:
    """Fetch one dataset that waits for it; ``False`` when there is none. A failure is the dataset's ``warning``.

    A store that does not answer now, and a worker that is stopped, are no failures: it is tried again.
    """
    dataset = _claim()
    if dataset is None:
        return False
    try:
        _fetch(dataset, forks=forks)
    except TaskInterrupted as error:
        logger.info("dataset %s will be fetched by another worker: %s", dataset.pk, error)
        look_again_later(dataset)
        return False
    except StoreUnavailable as error:
        logger.warning("dataset %s cannot be fetched now: %s", dataset.pk, error)
        look_again_later(dataset, warning=f"It is tried again: {error.detail}")
    except (CannotFetch, TaskFailed, ModelpoolError) as error:
        logger.warning("dataset %s cannot be fetched: %s", dataset.pk, error)
        waiting = Dataset.unscoped.filter(pk=dataset.pk, state=Dataset.State.PENDING)
        waiting.update(state=Dataset.State.FAILED, columns=[], warning=_sentence(error), profile_until=None)
    return True


def _sentence(error: Exception) -> str:
    return (error.detail if isinstance(error, ModelpoolError) else str(error))[:4000]


def _claim() -> Dataset | None:
    """Take the oldest for a while; a worker that dies leaves it to the next one when that has passed."""
    free = Dataset.unscoped.filter(Q(profile_until=None) | Q(profile_until__lt=Now()), state=Dataset.State.PENDING)
    dataset: Dataset | None = free.select_related("tenant").order_by("created_at").first()
    if dataset is None:
        return None
    source = sources_of(dataset.tenant).get((dataset.origin or {})["source"])
    own_s = float(source.timeout) if isinstance(source, conf.SqlSourceSettings) else 0.0
    until = Now() + timedelta(seconds=_CLAIM_S + own_s)
    return dataset if free.filter(pk=dataset.pk).update(profile_until=until) == 1 else None


def _fetch(dataset: Dataset, *, forks: ForkServer) -> None:
    origin = dataset.origin or {}
    source = sources_of(dataset.tenant).get(origin["source"])
    if isinstance(source, conf.SqlSourceSettings):
        _fetch_query(dataset, source, forks=forks)
    elif isinstance(source, conf.StoreSourceSettings):
        _fetch_object(dataset, source)
    else:
        raise CannotFetch(f"There is no source {origin['source']!r} for this tenant any more.")


def _fetch_query(dataset: Dataset, source: conf.SqlSourceSettings, *, forks: ForkServer) -> None:
    origin = dataset.origin or {}
    with work_folder("query") as folder:
        request = QueryRequest(
            source=origin["source"],
            url=_resolved(source.url),
            query=source.query,
            values={**origin["parameters"], "tenant": dataset.tenant.name},
            timeout_s=float(source.timeout),
            max_rows=source.max_rows,
            max_bytes=int(conf.settings().datasets.max_unpacked),
            table=_TABLE_FILE,
        )
        task = Task(entry="query", folder=str(folder), memory_limit_bytes=_MEMORY_BYTES, nice=_NICE)
        result = collect(forks, task, request=request, result=QueryResult, timeout_s=float(source.timeout) + 5.0)
        if result.problem:
            logger.warning("source %s: %s", origin["source"], result.log)
            raise CannotFetch(result.problem)
        _keep(dataset, pieces_of(folder / _TABLE_FILE))


def _resolved(url: str) -> str:
    """A relative path of SQLite is below the home folder, as that of ``[database]`` is."""
    scheme, _, path = url.partition(":///")
    return f"sqlite:///{conf.home().resolve(path)}" if scheme == "sqlite" else url


def _fetch_object(dataset: Dataset, source: conf.StoreSourceSettings) -> None:
    path = source.prefix.replace("{tenant}", dataset.tenant.name) + (dataset.origin or {})["object"]
    try:
        with get_store(source.store).open_foreign(path) as pieces:
            _keep(dataset, pieces)
    except ObjectMissing as error:
        raise CannotFetch(f"There is no object {(dataset.origin or {})['object']!r} in the source.") from error
    except (ConfigurationError, NotImplementedError) as error:
        logger.error("a source of datasets names the store %r: %s", source.store, error)
        raise CannotFetch("The source is set up wrongly; the log of the worker tells the operator how.") from error


def _keep(dataset: Dataset, pieces: Iterable[bytes]) -> None:
    """Store the bytes, then make the dataset ready, whole or not at all."""
    limit_bytes = int(conf.settings().limits.max_dataset)
    file = store_artifact(
        dataset.tenant, chunks=pieces, store=dataset.tenant.store, filename=dataset.name, limit_bytes=limit_bytes
    )
    try:
        _name(dataset, file)
    except DatasetNotFound:
        discard_artifact(file)  # it was deleted meanwhile, or another worker was faster
    except BaseException:
        discard_artifact(file)
        raise


def _name(dataset: Dataset, file: Artifact) -> None:
    if not file.size_bytes:
        raise InvalidField("object", "the file is empty.", code="empty")
    with transaction.atomic():
        waiting = Dataset.unscoped.filter(pk=dataset.pk, state=Dataset.State.PENDING)
        values = {
            "artifact": file,
            "size_bytes": file.size_bytes,
            "sha256": file.sha256,
            "profile_until": None,
            "warning": "",
        }
        if not waiting.update(state=Dataset.State.READY, **values):
            raise DatasetNotFound(str(dataset.pk))
        mark_ready(file)
