"""Counters, gauges and histograms; each value lives in memory and in this process's file of samples."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from modelpool.core.metrics.samples import SampleFile

DIRECTORY_VARIABLE = "MODELPOOL_METRICS_DIR"
"""Names the folder where the processes of a server keep their files; without it values stay in the process."""

SEPARATOR = "\x1f"

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "max", "min"]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)

REGISTRY: dict[str, Family] = {}
"""Every family by its name, in the order in which they are declared."""


class _Store:
    """The file of this process, made when the first value is; a forked child begins with one of its own."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.file: SampleFile | None = None

    def open(self) -> SampleFile:
        """Return the file; needs the lock."""
        if self.file is None:
            folder = os.environ.get(DIRECTORY_VARIABLE)
            try:
                self.file = SampleFile(Path(folder) / own_file_name() if folder and Path(folder).is_dir() else None)
            except OSError:  # a full disk takes away what is counted, never the process
                self.file = SampleFile(None)
        return self.file

    def forget(self) -> None:
        """After a fork: what the parent counted is the parent's."""
        self.lock = threading.RLock()
        self.file = None
        for family in REGISTRY.values():
            family.clear()


STORE = _Store()
os.register_at_fork(after_in_child=STORE.forget)


def own_file_name() -> str:
    """Return the name of this process's file: its pid, and when it began, since pids come again."""
    pid = os.getpid()
    return f"{pid}-{start_of(pid)}.samples"


def start_of(pid: int) -> str:
    """Return when a process began, in ticks of the kernel; empty for one that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


class Child:
    """The values of one family for one set of labels."""

    __slots__ = ("_at", "_family", "values")

    def __init__(self, family: Family, key: bytes) -> None:
        self._family = family
        self.values = [0.0] * family.width
        self._at = STORE.open().add(key, self.values)

    def inc(self, amount: float = 1.0) -> None:
        """Add to a counter or gauge."""
        with STORE.lock:
            self.values[0] += amount
            STORE.open().write(self._at, self.values)

    def set(self, value: float) -> None:
        """Give a gauge its value."""
        with STORE.lock:
            self.values[0] = value
            STORE.open().write(self._at, self.values)

    def observe(self, value: float) -> None:
        """Record one value in a histogram."""
        self.observe_all((value,))

    def observe_all(self, values: Iterable[float]) -> None:
        """Record many values in a histogram at once; thousands of them without keeping other threads waiting."""
        ordered = sorted(values)
        counts, below = self.values, 0
        with STORE.lock:
            counts[0] += sum(ordered)
            for at, bound in enumerate(self._family.buckets, start=1):
                up_to = bisect_right(ordered, bound)
                counts[at] += up_to - below
                below = up_to
            counts[len(self._family.buckets) + 1] += len(ordered) - below
            STORE.open().write(self._at, counts)

    def add(self, values: Sequence[float]) -> None:
        """Add what another child of the same family counted."""
        with STORE.lock:
            self.values[:] = [mine + other for mine, other in zip(self.values, values, strict=True)]
            STORE.open().write(self._at, self.values)

    def drop(self) -> None:
        """Give the place in the file back; the child is not to be used again."""
        with STORE.lock:
            STORE.open().remove(self._at)


class Family:
    """A metric with a name, a sentence that says what it is, and labels.

    A family that names models has them as its labels ``tenant`` and ``model``, and as an unseen last one the number
    under which the model was admitted (:mod:`modelpool.core.metrics.admission`).
    """

    def __init__(
        self,
        name: str,
        text: str,
        *,
        kind: Kind,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = (),
        merge: Merge = "sum",
    ) -> None:
        self.name, self.text, self.kind, self.merge = name, text, kind, merge
        self.label_names = tuple(labels)
        self.buckets = tuple(buckets)
        self.width = 2 + len(self.buckets) if kind == "histogram" else 1
        self.names_models = {"tenant", "model"} <= set(labels)
        self._children: dict[tuple[str, ...], Child] = {}
        if name in REGISTRY:
            raise ValueError(f"there are two metrics {name}")
        REGISTRY[name] = self

    def labels(self, *values: str) -> Child:
        """Return the child of these label values, in the order of the names."""
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self.label_names) + self.names_models:
                raise ValueError(f"{self.name} has the labels {', '.join(self.label_names)}")
            with STORE.lock:
                child = self._children.get(values)
                if child is None:
                    child = self._children[values] = Child(self, self.key_of(values))
        return child

    def key_of(self, values: Sequence[str]) -> bytes:
        """Return the key of a child's record."""
        return SEPARATOR.join((self.name, *values)).encode()

    def inc(self, amount: float = 1.0) -> None:
        """Add to a counter or gauge without labels."""
        self.labels().inc(amount)

    def set(self, value: float) -> None:
        """Give a gauge without labels its value."""
        self.labels().set(value)

    def observe(self, value: float) -> None:
        """Record one value in a histogram without labels."""
        self.labels().observe(value)

    def children(self) -> Iterator[tuple[tuple[str, ...], Child]]:
        """Yield label values and children."""
        return iter(list(self._children.items()))

    def remove(self, *values: str) -> None:
        """Forget a child and give its place back."""
        with STORE.lock:
            child = self._children.pop(values, None)
            if child is not None:
                child.drop()

    def clear(self) -> None:
        """Forget all children, without touching the file."""
        self._children.clear()


def counter(name: str, text: str, *labels: str) -> Family:
    """Declare what only grows; the name ends in ``_total``."""
    return Family(name, text, kind="counter", labels=labels)


def gauge(name: str, text: str, *labels: str, merge: Merge = "sum") -> Family:
    """Declare what goes up and down; ``merge`` says how the living processes' values become one."""
    return Family(name, text, kind="gauge", labels=labels, merge=merge)


def histogram(name: str, text: str, *labels: str, buckets: Sequence[float] = _SECONDS) -> Family:
    """Declare a distribution; ``buckets`` are the upper bounds, by default seconds from half a millisecond to 30."""
    return Family(name, text, kind="histogram", labels=labels, buckets=buckets)
