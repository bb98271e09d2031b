"""Writing the serving history: one process of a node takes the journals of all, dead ones too, and adds them up."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

from modelpool.core.errors import ModelpoolError
from modelpool.core.metrics.families import start_of
from modelpool.core.served import MINUTE, WIDTH, Span
from modelpool.inference.observation.journal import MARGIN_S, read_journal, write_mark

logger = logging.getLogger(__name__)

WRITE_S = 15.0
"""How often the counts of minutes are written; those of hours every fourth time."""

_LATE_S = 2.5 * WRITE_S  # whoever writes is dead or hangs, and another takes over
_LAST_S = 5.0  # a process that ends waits so long for another one that writes
_PRUNE_S = 3600.0
_EVERY = 4

Counts = tuple[int, ...]
Write = Callable[[UUID, Mapping[Span, Sequence[int]]], None]
"""Keeps totals: of one source, in place of what it said of the same spans before. May raise ``ModelpoolError``."""


class HistoryWriter:
    """Brings the journals in ``folder`` to where they are kept.

    Totals replace totals, so nothing is counted twice, whoever is killed when. The journal of a dead process is kept
    until its last span is over, since the one that took its place counts in the same spans.
    """

    def __init__(self, folder: Path, write: Write, *, prune: Callable[[], None]) -> None:
        self.folder = folder
        self._write = write
        self._prune = prune
        self._written: dict[Span, Counts] = {}
        self._is_writer = False
        self._rounds = 0
        self._pruned_at = float("-inf")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to write, in a thread."""
        self._thread = threading.Thread(target=self._run, name="modelpool-history", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what there is, and end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._attempt(is_last=True)

    def write(self) -> None:
        """Write everything that has changed, unless another process does so at this moment."""
        with self._locked() as has_lock:
            if has_lock:
                self._write_changes(is_whole=True)

    def _run(self) -> None:
        while not self._stop.wait(WRITE_S):
            self._attempt()

    def _attempt(self, *, is_last: bool = False) -> None:
        try:
            with self._locked(wait_s=_LAST_S if is_last else 0.0) as has_lock:
                if has_lock and (is_last or self._is_due()):
                    self._is_writer = True
                    self._rounds += 1
                    self._write_changes(is_whole=is_last or self._rounds % _EVERY == 1)
                    self._prune_sometimes()
                else:
                    self._is_writer = False
        except ModelpoolError as error:
            logger.warning("the serving history could not be written, and is tried again: %s", error)
        except Exception:  # the edge of a thread that must not end: a full disk, a folder that was removed
            logger.exception("the serving history could not be written")

    def _is_due(self) -> bool:
        turn = self.folder / "turn"
        return self._is_writer or not turn.exists() or time.time() - turn.stat().st_mtime > _LATE_S

    def _write_changes(self, *, is_whole: bool) -> None:
        began = time.monotonic()
        totals, dead = self._add_up()
        changed = {
            span: counts
            for span, counts in totals.items()
            if (is_whole or span.seconds == MINUTE) and self._written.get(span) != counts
        }
        if changed:
            self._write(self._source(), changed)
        self._written = {span: counts for span, counts in {**self._written, **changed}.items() if span in totals}
        (self.folder / "turn").touch()
        if is_whole:
            write_mark(self.folder, began)
            for path in dead:
                path.unlink(missing_ok=True)

    def _add_up(self) -> tuple[dict[Span, Counts], list[Path]]:
        """Return the totals of the node, and the journals of dead processes in which every span is over."""
        totals: dict[Span, list[float]] = {}
        over: list[Path] = []
        now = time.time()
        for path in sorted(self.folder.glob("*.samples")):
            is_dead, last = not _is_alive(path), 0
            for span, counts in read_journal(path):
                mine = totals.setdefault(span, [0.0] * WIDTH)
                mine[:] = [a + b for a, b in zip(mine, counts, strict=True)]
                last = max(last, span.end)
            if is_dead and last + MARGIN_S < now:
                over.append(path)
        return {span: tuple(map(int, counts)) for span, counts in totals.items() if any(counts)}, over

    def _source(self) -> UUID:
        """Return the name under which this folder's totals are kept; made once, with the lock."""
        path = self.folder / "source"
        try:
            return UUID(path.read_text().strip())
        except (FileNotFoundError, ValueError):
            private, source = path.with_suffix(".new"), uuid4()
            private.write_text(str(source))
            private.replace(path)
            return source

    def _prune_sometimes(self) -> None:
        if time.monotonic() - self._pruned_at > _PRUNE_S:
            self._prune()
            self._pruned_at = time.monotonic()

    @contextmanager
    def _locked(self, *, wait_s: float = 0.0) -> Iterator[bool]:
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _took(descriptor, wait_s)
        finally:
            os.close(descriptor)


def _took(descriptor: int, wait_s: float) -> bool:
    """Take the lock; of processes that end together each waits for its turn, since nobody comes after the last."""
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        else:
            return True


def _is_alive(path: Path) -> bool:
    pid, _, began = path.stem.partition("-")
    return pid.isdigit() and bool(began) and start_of(int(pid)) == began
