"""Counting predictions: a list takes them in the request, a thread of the process adds them up twice a second."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from modelpool.core.metrics import catalogue
from modelpool.core.metrics.admission import NOBODY, OTHER, Admission, ModelName
from modelpool.core.metrics.families import DIRECTORY_VARIABLE, Family
from modelpool.core.runtime.pool import PoolKey
from modelpool.inference.observation.journal import Journal

logger = logging.getLogger(__name__)

FLUSH_S = 0.5
MAX_MODELS = 1000
"""Models of a node with series of their own, unless ``server.metrics_max_models`` says otherwise."""

_MAX_VERSIONS = 8
_TOUCH_S = 60.0
_TABLE = "models"

Labels = tuple[str, str, str, str]
"""Tenant, model, version, and the number under which the model was admitted."""

_NOBODY: Labels = (NOBODY, NOBODY, NOBODY, "")
_OTHER: Labels = (OTHER, OTHER, OTHER, "")


class Counted(Protocol):
    """What is counted of a route: whose model answered, and which version."""

    @property
    def key(self) -> PoolKey:
        """The version among all tenants'; asked for where there is a journal."""

    @property
    def tenant(self) -> str:
        """The tenant's name."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def number(self) -> int:
        """The version's number."""


class ModelLabels:
    """The labels that the models of this process are counted under; at most ``limit`` models of a node have their own.

    Of a model at most eight versions are told apart at a time. Used by one thread at a time.
    """

    def __init__(self, *, limit: int = MAX_MODELS, folder: Path | None = None) -> None:
        self._admission = Admission(folder / _TABLE if folder else None, limit=limit)
        self._numbers: dict[ModelName, str] = {}
        self._versions: dict[ModelName, dict[int, Labels]] = {}
        self._used: set[ModelName] = set()
        self._touched_at = float("-inf")

    def prepare(self, names: Iterable[ModelName]) -> None:
        """Admit the models among ``names`` that are new here; once a minute tell the table which were used."""
        wanted = set(names)
        self._used |= wanted
        now = time.monotonic()
        if wanted <= self._numbers.keys() and now - self._touched_at < _TOUCH_S:
            return
        self._numbers = self._admission.admit(self._used)
        self._used.clear()
        self._touched_at = now
        self._forget_others()

    def of(self, route: Counted) -> Labels:
        """Return the labels of a version whose model was prepared."""
        name = (route.tenant, route.model)
        number = self._numbers.get(name)
        if number is None:
            return _OTHER
        versions = self._versions.setdefault(name, {})
        labels = versions.pop(route.number, None) or (*name, str(route.number), number)
        versions[route.number] = labels  # the last one is the one used last
        if len(versions) > _MAX_VERSIONS:
            self._forget_version(versions)
        return labels

    def admitted(self) -> dict[ModelName, str]:
        """Return the models of the node that have series of their own."""
        return self._admission.read()

    def _forget_version(self, versions: dict[int, Labels]) -> None:
        """The version used longest ago goes; what it counted is kept under the model, as version ``_other``."""
        tenant, model, version, number = versions.pop(next(iter(versions)))
        _move((tenant, model, version, number), (tenant, model, OTHER, number))

    def _forget_others(self) -> None:
        """What was counted of models that are not in the table any more goes to ``_other``."""
        for labels in list(_model_labels()):
            name, number = (labels[0], labels[1]), labels[3]
            if number and self._numbers.get(name) != number:
                _move(labels, _OTHER)
                self._versions.pop(name, None)


class _Tally:
    """How long the answers of one version with one status took, since they were last added up."""

    __slots__ = ("is_idle", "route", "status", "times")

    def __init__(self, route: Counted | None, status: int) -> None:
        self.route = route
        self.status = status
        self.times: list[float] = []
        self.is_idle = False


class Meter:
    """Counts predictions. ``count(route, status, seconds)`` may be called by any thread, and costs an append.

    ``route`` is ``None`` where the request named nothing that there is: names from outside are not counted.
    Adding up takes little time for each version and next to none for each answer: it would hold up the event loop,
    which has to wait for any thread that computes.
    """

    def __init__(self, wire: str, labels: ModelLabels, journal: Journal | None = None) -> None:
        self.wire = wire
        self._labels = labels
        self._journal = journal
        self._tallies: dict[tuple[int, int], _Tally] = {}

    def count(self, route: Counted | None, status: int, seconds: float) -> None:
        """Record one answer."""
        try:
            tally = self._tallies[id(route), status]  # the tally holds the route, so that the number is of no other
        except KeyError:
            tally = self._tallies.setdefault((id(route), status), _Tally(route, status))
        tally.times.append(seconds)

    def flush(self) -> None:
        """Add up what is waiting; by one thread at a time."""
        waiting: list[tuple[_Tally, list[float]]] = []
        for key, tally in list(self._tallies.items()):
            times = tally.times[:]
            del tally.times[: len(times)]
            if times:
                waiting.append((tally, times))
            elif tally.is_idle:  # since the flush before: whoever had it in hand then has counted by now
                del self._tallies[key]
            tally.is_idle = not times
        if not waiting:
            return
        routes = [tally.route for tally, _ in waiting]
        self._labels.prepare((route.tenant, route.model) for route in routes if route is not None)
        for tally, times in waiting:
            self._add(_NOBODY if tally.route is None else self._labels.of(tally.route), tally.status, times)
            if self._journal is not None and tally.route is not None:
                self._journal.count(tally.route, tally.status, times)

    def _add(self, labels: Labels, status: int, values: list[float]) -> None:
        catalogue.PREDICTIONS.labels(self.wire, str(status), *labels).inc(len(values))
        if status == 200:
            catalogue.PREDICTION_SECONDS.labels(*labels).observe_all(values)


class Meters:
    """The meters of this process, one for each wire, and the thread that empties them."""

    def __init__(self) -> None:
        self._limit = MAX_MODELS
        self._journal: Journal | None = None
        self._labels: ModelLabels | None = None
        self._meters: dict[str, Meter] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def configure(self, *, max_models: int, journal: Journal | None = None) -> None:
        """Say how many models have series of their own, and where the history begins; before the first meter."""
        self._limit, self._journal = max_models, journal

    @property
    def labels(self) -> ModelLabels:
        """What models are counted under."""
        if self._labels is None:
            self._labels = ModelLabels(limit=self._limit, folder=metrics_folder())
        return self._labels

    def of(self, wire: str) -> Meter:
        """Return the meter of a wire, such as ``v1``."""
        with self._lock:
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="modelpool-metrics", daemon=True)
                self._thread.start()
            return self._meters.setdefault(wire, Meter(wire, self.labels, self._journal))

    def flush(self) -> None:
        """Add up what is waiting in all meters."""
        with self._lock:
            for meter in self._meters.values():
                meter.flush()
            if self._journal is not None:
                self._journal.settle()

    def close(self) -> None:
        """End the thread, and add up the rest."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.flush()

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_S):
            try:
                self.flush()
            except Exception:  # the edge of a thread that must not end: a full disk, a folder that was removed
                logger.exception("counts of predictions could not be added up")


METERS = Meters()
"""Those of this process."""


def metrics_folder() -> Path | None:
    """Return where the processes of this server keep what they count; ``None`` outside a server."""
    folder = os.environ.get(DIRECTORY_VARIABLE)
    return Path(folder) if folder else None


def _model_labels() -> Iterator[Labels]:
    """Yield the labels of models that have children in any family."""
    found: set[Labels] = set()
    for values, _ in catalogue.PREDICTIONS.children():
        found.add((values[2], values[3], values[4], values[5]))
    return iter(found)


def _move(source: Labels, target: Labels) -> None:
    """Add what was counted under ``source`` to ``target``, and forget it."""
    family: Family = catalogue.PREDICTION_SECONDS
    for values, child in family.children():
        if values == source:
            family.labels(*target).add(child.values)
            family.remove(*values)
    for values, child in catalogue.PREDICTIONS.children():
        if values[2:] == source:
            catalogue.PREDICTIONS.labels(*values[:2], *target).add(child.values)
            catalogue.PREDICTIONS.remove(*values)
