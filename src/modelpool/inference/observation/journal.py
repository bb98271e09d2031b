"""What this process's versions were asked, by the minute and the hour, in a file that outlives the process.

The counts of a span are added up in place, so that whoever reads the file finds totals and not changes: writing them
down twice is the same as once. A record is given back when its time is over and what it holds has been written.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol
from uuid import UUID

from modelpool.core.metrics.families import own_file_name
from modelpool.core.metrics.samples import SampleFile, read_records
from modelpool.core.runtime.pool import PoolKey
from modelpool.core.served import HOUR, MINUTE, WIDTH, Span, counted

logger = logging.getLogger(__name__)

MARGIN_S = 180
"""So long after its end a span is kept: a process that was held up may still count in it."""

_MAX_SPANS = 50_000
_SETTLE_S = 30.0
_KEY = struct.Struct(">16s16sIIQ")
_MARK = "written"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Asked(Protocol):
    """What is counted of a route."""

    @property
    def key(self) -> PoolKey:
        """Whose version it is."""

    @property
    def number(self) -> int:
        """The version's number."""


class _Record:
    __slots__ = ("at", "changed_at", "counts")

    def __init__(self, at: int) -> None:
        self.at = at
        self.counts = [0.0] * WIDTH
        self.changed_at = 0.0


class Journal:
    """The counts of this process in ``folder``; used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: SampleFile | None = None
        self._records: dict[Span, _Record] = {}
        self._settled_at = time.monotonic()

    def count(self, route: Asked, status: int, times: Sequence[float]) -> None:
        """Add answers of a version to this minute and this hour."""
        now, more = int(time.time()), counted(status, times)
        for seconds in (MINUTE, HOUR):
            start = now - now % seconds
            span = Span(route.key.tenant_id, route.key.model_id, route.number, seconds, start)
            record = self._records.get(span) or self._begin(span)
            record.counts[:] = [a + b for a, b in zip(record.counts, more, strict=True)]
            record.changed_at = time.monotonic()
            self._open().write(record.at, record.counts)

    def settle(self) -> None:
        """Now and then: give back what is over and written; where nothing can be written for long, the oldest."""
        if time.monotonic() - self._settled_at < _SETTLE_S or self._file is None:
            return
        self._settled_at = time.monotonic()
        over, written_at = time.time() - MARGIN_S, read_mark(self._folder)
        for span, record in list(self._records.items()):
            if span.end < over and record.changed_at < written_at:
                self._give_back(span)
        too_many = len(self._records) - _MAX_SPANS
        if too_many > 0:
            logger.warning("%d spans of the serving history are lost: nobody has written them down", too_many)
            for span in sorted(self._records, key=lambda span: (-span.seconds, span.start))[-too_many:]:
                self._give_back(span)

    def _begin(self, span: Span) -> _Record:
        record = _Record(self._open().add(pack(span), [0.0] * WIDTH))
        self._records[span] = record
        return record

    def _give_back(self, span: Span) -> None:
        self._open().remove(self._records.pop(span).at)

    def _open(self) -> SampleFile:
        if self._file is None:
            try:
                self._file = SampleFile(self._folder / own_file_name())
            except OSError:  # a full disk takes away what is counted, never the process
                self._file = SampleFile(None)
        return self._file


def pack(span: Span) -> bytes:
    """Return the key of a record."""
    return _KEY.pack(span.tenant_id.bytes, span.model_id.bytes, span.version, span.seconds, span.start)


def read_journal(path: Path) -> Iterator[tuple[Span, tuple[float, ...]]]:
    """Yield the spans of a process's file, and their counts."""
    for key, counts in read_records(path):
        if len(key) == _KEY.size and len(counts) == WIDTH:
            tenant, model, *rest = _KEY.unpack(key)
            yield Span(UUID(bytes=tenant), UUID(bytes=model), *rest), counts


def write_mark(folder: Path, moment: float) -> None:
    """Say that everything that was counted before ``moment`` (of the machine's monotonic clock) has been written."""
    private = folder / f"{_MARK}.new"
    private.write_text(f"{_boot()} {moment!r}")
    private.replace(folder / _MARK)


def read_mark(folder: Path) -> float:
    """Return up to when everything has been written; before all time when the machine was started anew since."""
    try:
        boot, _, moment = (folder / _MARK).read_text().partition(" ")
        return float(moment) if boot == _boot() else float("-inf")
    except (OSError, ValueError):
        return float("-inf")


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"
