"""The loop of ``modelpool worker``: claim a job, run it, again and again; one job at a time."""

from __future__ import annotations

import logging
import threading

from django.db import Error, connection

from modelpool import conf
from modelpool.registry.signing import worker_key
from modelpool.storage.health import StoreWatch
from modelpool.training import work_folders
from modelpool.training.attempt import Attempt
from modelpool.training.background import Chores, Housekeeping, Periodic
from modelpool.training.forkserver import ForkServer
from modelpool.training.queue import claim_next

logger = logging.getLogger(__name__)

POLL_S = 0.25
_OUTAGE_PAUSE_S = 1.0
_DRAIN_SHARE = 0.8
_JOIN_S = 5.0


def run_worker(stop: threading.Event) -> None:
    """Work until ``stop`` is set.

    Then no job is claimed any more; one that is running may end within four fifths of ``[server] drain_timeout``, after
    which it goes back to the queue without an attempt being spent. Run it in the main thread, or in one that lives as
    long as the process. Raises :class:`~modelpool.core.errors.ConfigurationError` where it has no key to sign with.
    """
    worker_key()  # now, not when the first model is trained
    settings = conf.settings()
    lease_s = float(settings.jobs.lease)
    forks = ForkServer()
    forks.start()
    work_folders.remove_abandoned()
    housekeeping = Housekeeping(forks, lease_s=lease_s)
    threads = [Periodic("housekeeping", housekeeping), Periodic("chores", Chores(forks, housekeeping))]
    for thread in threads:
        thread.start()
    stores = StoreWatch()
    stores.start()
    logger.info("worker %s is ready", housekeeping.label)
    try:
        while not stop.is_set():
            attempt = _next(housekeeping.label, lease_s=lease_s, forks=forks, stop=stop)
            if attempt is None:
                stop.wait(POLL_S)
                continue
            housekeeping.busy_with = attempt.claim.job_id
            attempt.run()
            housekeeping.busy_with = None
    finally:
        stores.close()
        _shut_down(threads, housekeeping=housekeeping, forks=forks)


def _next(label: str, *, lease_s: float, forks: ForkServer, stop: threading.Event) -> Attempt | None:
    try:
        claimed = claim_next(label, lease_s=lease_s)
    except Error as error:
        logger.warning("no job can be claimed, the database does not answer: %s", error)
        connection.close()
        stop.wait(_OUTAGE_PAUSE_S)
        return None
    if claimed is None:
        return None
    claim, job = claimed
    drain_s = float(conf.settings().server.drain_timeout) * _DRAIN_SHARE
    return Attempt(claim, job, forks, stop, drain_s)


def _shut_down(threads: list[Periodic], *, housekeeping: Housekeeping, forks: ForkServer) -> None:
    forks.close()  # also ends a profile or a look into a trainer's file that is under way
    for thread in threads:
        thread.stop(timeout_s=_JOIN_S)
    try:
        housekeeping.sign_off()
    except Error as error:
        logger.warning("the worker's row stays until it is out of date: %s", error)
    logger.info("worker %s has ended", housekeeping.label)
