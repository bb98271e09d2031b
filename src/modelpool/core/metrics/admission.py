"""Which models have a series of their own: a bounded table, shared by the processes of a node.

A model keeps the number under which it was admitted. What a process counted under a number that is not in the table any
more belongs to ``_other``, from one moment to the next and for all processes, so that no sum ever shrinks.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

ModelName = tuple[str, str]
"""Tenant and model."""

OTHER = "_other"
"""What models without a series of their own are counted under; no name begins with an underscore."""

NOBODY = "_none"
"""What answers to requests are counted under that named no model there is."""

IDLE_S = 24 * 3600.0
"""A model that was not asked for so long loses its series."""

REPLACED_AFTER_S = 600.0
"""When the table is full, a new model takes the place of one that was not asked for so long."""


class _Row(msgspec.Struct, array_like=True):
    tenant: str
    model: str
    number: int
    used_at: float


class _Table(msgspec.Struct):
    next_number: int = 1
    rows: list[_Row] = msgspec.field(default_factory=list)


class Admission:
    """The table in ``path``, or one of this process alone; at most ``limit`` models are in it."""

    def __init__(self, path: Path | None, *, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._limit = limit
        self._clock = clock
        self._own = _Table()

    def admit(self, used: Iterable[ModelName]) -> dict[ModelName, str]:
        """Note the use of models, admitting new ones as far as there is room; return all that are in, with numbers.

        Where the disk is full, nobody comes in.
        """
        now = self._clock()
        with self._locked():
            table = self._read()
            before = {(row.tenant, row.model): str(row.number) for row in table.rows}
            rows = {(row.tenant, row.model): row for row in table.rows if now - row.used_at < IDLE_S}
            for name in used:
                row = rows.get(name)
                if row is not None:
                    row.used_at = now
                elif len(rows) < self._limit or self._make_room(rows, now):
                    rows[name] = _Row(*name, table.next_number, now)
                    table.next_number += 1
            table.rows = list(rows.values())
            try:
                self._write(table)
            except OSError:
                return before
        return {name: str(row.number) for name, row in rows.items()}

    def read(self) -> dict[ModelName, str]:
        """Return the models that are in, with their numbers."""
        return {(row.tenant, row.model): str(row.number) for row in self._read().rows}

    def _make_room(self, rows: dict[ModelName, _Row], now: float) -> bool:
        oldest = min(rows, key=lambda name: rows[name].used_at, default=None)
        if oldest is None or now - rows[oldest].used_at < REPLACED_AFTER_S:
            return False
        del rows[oldest]
        return True

    def _read(self) -> _Table:
        if self._path is None:
            return self._own
        try:
            return msgspec.msgpack.decode(self._path.read_bytes(), type=_Table)
        except (FileNotFoundError, msgspec.DecodeError):
            return _Table(next_number=time.time_ns() >> 20)  # numbers of a table that was lost do not come again

    def _write(self, table: _Table) -> None:
        if self._path is None:
            self._own = table
            return
        private = self._path.with_suffix(f".{os.getpid()}")
        try:
            private.write_bytes(msgspec.msgpack.encode(table))
            private.replace(self._path)
        except OSError:
            private.unlink(missing_ok=True)
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        with self._path.with_suffix(".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
