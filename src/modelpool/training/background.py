"""What a worker does besides its job: heartbeat, reaping, the catalogue of trainers, profiles, and cleaning up."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import Error, connection
from django.db.models.functions import Now

from modelpool import conf
from modelpool.core.errors import Unavailable
from modelpool.storage.services import sweep
from modelpool.tenants.changes import prune_changes
from modelpool.training import catalogue, work_folders
from modelpool.training.child_tasks import TaskInterrupted
from modelpool.training.fetching import fetch_next
from modelpool.training.forkserver import ForkServer
from modelpool.training.models import JobLogLine, JobWorker
from modelpool.training.profiling import profile_next
from modelpool.training.queue import reap_expired
from modelpool.training.retention import delete_expired

logger = logging.getLogger(__name__)

LOG_RETENTION = timedelta(days=30)
CHORES_EVERY_S = 600.0
_TICK_S = 1.0
_PROFILES_AT_ONCE = 20


class Periodic:
    """A thread that calls a function again and again until it is stopped; errors are logged, the next call comes."""

    def __init__(self, name: str, function: Callable[[], None], *, every_s: float = _TICK_S) -> None:
        self._function = function
        self._every_s = every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """Ask it to end, and wait for a call that is under way, up to ``timeout_s``."""
        self._done.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._done.is_set():
            try:
                self._function()
            except (Error, Unavailable) as error:
                logger.warning("%s: %s", self._thread.name, error)
                connection.close()
            except Exception:
                logger.exception("%s failed", self._thread.name)
            self._done.wait(self._every_s)
        connection.close()


class Housekeeping:
    """The quick things, once a second: the worker's row, lost jobs, and the trainers on offer.

    ``busy_with`` is the job that the worker's main thread is at.
    """

    def __init__(self, forks: ForkServer, *, lease_s: float) -> None:
        self.worker_id: UUID = uuid4()
        self.label = f"{socket.gethostname()[:60]}:{os.getpid()}:{self.worker_id.hex[:8]}"
        self.busy_with: UUID | None = None
        self._forks = forks
        self._lease_s = lease_s
        self._seen: catalogue.Fingerprint | None = None
        self._beat_at = float("-inf")

    def __call__(self) -> None:
        """Do what is due."""
        self._beat()
        if reaped := reap_expired(except_for=self.busy_with):
            logger.warning("%s jobs of lost workers were queued again or ended", reaped)
        self._refresh_catalogue()

    def sign_off(self) -> None:
        """Remove the worker's row."""
        JobWorker.objects.filter(pk=self.worker_id).delete()

    def is_leader(self) -> bool:
        """Whether this is the longest-running worker alive: one does the chores for all, twice would do no harm."""
        alive = JobWorker.objects.filter(seen_at__gt=Now() - timedelta(seconds=2 * self._lease_s))
        return alive.order_by("started_at", "pk").values_list("pk", flat=True).first() == self.worker_id

    def _beat(self) -> None:
        if time.monotonic() - self._beat_at < self._lease_s / 3:
            return
        values = {"host": socket.gethostname()[:200], "pid": os.getpid(), "seen_at": Now()}
        if not JobWorker.objects.filter(pk=self.worker_id).update(seen_at=Now()):
            JobWorker.objects.create(pk=self.worker_id, started_at=Now(), **values)
        JobWorker.objects.filter(seen_at__lt=Now() - timedelta(seconds=20 * self._lease_s)).delete()
        self._beat_at = time.monotonic()

    def _refresh_catalogue(self) -> None:
        """Look again when a file of the user's has changed, and when the table was emptied (a database put back)."""
        found = catalogue.fingerprint()
        if found != self._seen or not catalogue.is_written():
            try:
                catalogue.refresh_catalogue(self._forks)
            except TaskInterrupted as error:  # what was on offer still is
                logger.warning("trainers are not looked at now: %s", error)
                return
            self._seen = found


class Chores:
    """The slow things: fetching and describing datasets as they come, and cleaning up every ten minutes."""

    def __init__(self, forks: ForkServer, housekeeping: Housekeeping) -> None:
        self._forks = forks
        self._housekeeping = housekeeping
        self._cleaned_at = time.monotonic() - CHORES_EVERY_S + 30.0

    def __call__(self) -> None:
        """Describe the datasets that wait for it, and clean up if that is due."""
        for _ in range(_PROFILES_AT_ONCE):
            if not fetch_next(self._forks):
                break
        for _ in range(_PROFILES_AT_ONCE):
            if not profile_next(self._forks):
                break
        if time.monotonic() - self._cleaned_at >= CHORES_EVERY_S:
            self._cleaned_at = time.monotonic()
            work_folders.remove_abandoned()
            if self._housekeeping.is_leader():
                clean_up()


def clean_up() -> None:
    """Remove orphaned artifacts, expired datasets, old entries of the feed, and logs of jobs that ended long ago."""
    report = sweep(grace_s=float(conf.settings().limits.orphan_grace))
    logger.info("swept: %s", report)
    delete_expired()
    prune_changes()
    prune_logs()


def prune_logs() -> int:
    """Delete log lines older than :data:`LOG_RETENTION` of jobs that have ended, and return how many."""
    old = JobLogLine.objects.filter(job__finished_at__lt=Now() - LOG_RETENTION)
    deleted, _ = old.delete()
    return deleted
