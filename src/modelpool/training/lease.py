"""Keeping a job's lease while the worker is busy with it."""

from __future__ import annotations

import logging
import threading
import time
from typing import Self

from django.db import Error, connection

from modelpool.training.queue import Claim, look, renew

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.3
_RENEWALS_PER_LEASE = 3


class LeaseKeeper:
    """A thread that renews the lease three times in its duration, and looks whether the job is to be cancelled.

    ``lost`` is set when the database says that the claim no longer holds. A database that does not answer says nothing:
    the attempt goes on, for nobody else can claim the job meanwhile, and the fence guards the end in any case.
    """

    def __init__(self, claim: Claim) -> None:
        self.lost = threading.Event()
        self.cancel_requested = threading.Event()
        self._claim = claim
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._keep()
        except Exception:
            logger.exception("job %s: the lease cannot be kept; giving the job up", self._claim.job_id)
            self.lost.set()
        finally:
            connection.close()

    def _keep(self) -> None:
        renew_every_s = self._claim.lease_s / _RENEWALS_PER_LEASE
        renewed_at = time.monotonic()
        while not self.lost.is_set() and not self._done.wait(min(LOOK_EVERY_S, renew_every_s)):
            try:
                self._look()
                if time.monotonic() - renewed_at >= renew_every_s and renew(self._claim):
                    renewed_at = time.monotonic()
            except Error as error:
                logger.warning(
                    "job %s: the lease is not renewed, the database does not answer: %s", self._claim.job_id, error
                )
                connection.close()

    def _look(self) -> None:
        state = look(self._claim)
        if not state.is_held:
            self.lost.set()
        if state.cancel_requested:
            self.cancel_requested.set()
