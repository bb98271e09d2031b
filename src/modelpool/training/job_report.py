"""What a running job tells: progress, metrics and log lines, gathered and written a few times a second, fenced."""

from __future__ import annotations

import logging
import re
import time

from django.db import Error, connection, transaction
from django.utils import timezone

from modelpool.training.models import JobLogLine
from modelpool.training.queue import Claim, LeaseLost, held

logger = logging.getLogger(__name__)

MAX_LINES = 10_000
MAX_BYTES = 1 << 20
MAX_LINE_CHARACTERS = 4000
MAX_METRICS = 500
_WRITE_EVERY_S = 0.25
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class JobReport:
    """One attempt's report; a log past :data:`MAX_LINES` or :data:`MAX_BYTES` ends with a line that says so."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._lines: list[JobLogLine] = []
        self._metrics: dict[str, float] = {}
        self._progress, self._stage = 0.0, ""
        self._is_changed = False
        self._count = self._bytes = 0
        self._is_full = False
        self._written_at = 0.0

    def log(self, text: str) -> None:
        """Add lines."""
        for line in text.splitlines():
            self._add(kind="log", text=clean_text(line)[:MAX_LINE_CHARACTERS])

    def metric(self, name: str, value: float, step: int | None) -> None:
        """Add a metric's value: to the job as its last, to the log as one of a series."""
        name = clean_text(name)
        if name in self._metrics or len(self._metrics) < MAX_METRICS:
            self._metrics[name] = value
        at = {} if step is None else {"step": step}
        self._add(kind="metric", text=f"{name} = {value:g}", data={"name": name, "value": value, **at})

    def progress(self, fraction: float, stage: str | None = None) -> None:
        """Move on; the fraction never goes back."""
        self._progress = max(self._progress, min(max(fraction, 0.0), 1.0))
        self._stage = self._stage if stage is None else clean_text(stage)[:100]
        self._is_changed = True

    def write(self, *, now: bool = False) -> None:
        """Write what is new, at most four times a second unless ``now``; raise :class:`LeaseLost`.

        While the database does not answer, the report is kept and written later.
        """
        if not (self._is_changed or self._lines) or not (now or time.monotonic() - self._written_at >= _WRITE_EVERY_S):
            return
        self._written_at = time.monotonic()
        try:
            with transaction.atomic():
                changes = {"progress": self._progress, "stage": self._stage, "metrics": self._metrics}
                if held(self._claim).update(**changes) != 1:
                    raise LeaseLost(str(self._claim.job_id))
                JobLogLine.objects.bulk_create(self._lines, batch_size=500)
        except Error as error:
            logger.warning("job %s: its report waits, the database does not answer: %s", self._claim.job_id, error)
            connection.close()
            return
        self._lines, self._is_changed = [], False

    def _add(self, *, kind: str, text: str, data: dict[str, object] | None = None) -> None:
        self._is_changed = True
        if self._is_full:
            return
        self._count += 1
        self._bytes += len(text.encode()) + 1
        if self._count > MAX_LINES or self._bytes > MAX_BYTES:
            self._is_full = True
            kind, text, data = (
                "log",
                f"… truncated: the log of one attempt ends after {MAX_LINES} lines or {MAX_BYTES} bytes",
                None,
            )
        values = {"job_id": self._claim.job_id, "attempt": self._claim.attempt, "at": timezone.now()}
        self._lines.append(JobLogLine(kind=kind, text=text, data=data, **values))


def clean_text(text: str) -> str:
    """Return ``text`` without colour codes and control characters, which terminals obey and PostgreSQL refuses."""
    return _UNPRINTABLE.sub("", text)
