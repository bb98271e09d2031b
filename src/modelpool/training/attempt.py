"""One attempt at one job, from the worker's side: prepare, watch the child, conclude."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError, connection

from modelpool import conf
from modelpool.core.errors import BadTrainingData, ModelpoolError, Unavailable, UnknownTrainer
from modelpool.core.tracing import Trace, current_tracer
from modelpool.storage.services import copy_to_file
from modelpool.training import catalogue
from modelpool.training.forkserver import ForkServer
from modelpool.training.job_report import JobReport
from modelpool.training.lease import LeaseKeeper
from modelpool.training.messages import REQUEST_FILE, Failed, TableFormat, Task, TrainRequest, TrainResult, write_json
from modelpool.training.models import TrainerInfo, TrainingJob
from modelpool.training.publish import Publication
from modelpool.training.queue import Claim, LeaseLost, finish, give_back, retry_later
from modelpool.training.watch import Cancelled, Drained, Lost, Watch
from modelpool.training.work_folders import work_folder

logger = logging.getLogger(__name__)

NICE = 10
_PUBLISH_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_OUTAGES = (Unavailable, OperationalError, InterfaceError)


@dataclass(slots=True)
class Attempt:
    """The worker's right to a job, and what it needs to use it."""

    claim: Claim
    job: TrainingJob
    forks: ForkServer
    stop: threading.Event
    drain_s: float
    report: JobReport = field(init=False)
    trace: Trace | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.report = JobReport(self.claim)

    def run(self) -> None:
        """Work on the job until it has an end, is given back, or the lease is lost; never raises."""
        logger.info("job %s: attempt %s of trainer %s", self.job.pk, self.claim.attempt, self.job.trainer)
        tracer = current_tracer()
        self.trace = None if tracer is None else tracer.begin()
        try:
            with LeaseKeeper(self.claim) as keeper, work_folder("train") as folder:
                self._run(keeper, folder)
        except LeaseLost:
            logger.warning("job %s: the lease of attempt %s is lost; giving up", self.job.pk, self.claim.attempt)
        except _OUTAGES as error:
            self._conclude_later(error, code=getattr(error, "code", "database_unavailable"))
        except Exception as error:
            logger.exception("job %s: attempt %s failed in the worker itself", self.job.pk, self.claim.attempt)
            self._conclude_later(error, code="worker_error")
        self._end_trace()

    def _run(self, keeper: LeaseKeeper, folder: Path) -> None:
        self.report.log(f"Attempt {self.claim.attempt} on {self.claim.worker}.")
        try:
            task = self._prepare(folder)
            self._mark("prepare")
            with self.forks.run(task) as child:
                watch = Watch(
                    child, job=self.job, keeper=keeper, report=self.report, stop=self.stop, drain_s=self.drain_s
                )
                ending = watch.until_end(folder)
        except ModelpoolError as error:
            if isinstance(error, Unavailable):
                raise
            ending = Failed(error.code, error.detail)
        self._mark("train")
        self._conclude(ending, keeper=keeper, folder=folder)
        self._mark("store")

    def _mark(self, step: str) -> None:
        if self.trace is not None:
            self.trace.mark(step)

    def _end_trace(self) -> None:
        if self.trace is not None:
            job = self.job
            named = {
                "modelpool.tenant": job.tenant.name,
                "modelpool.model": job.model.name,
                "modelpool.job": str(job.pk),
            }
            self.trace.end("job", named | {"modelpool.trainer": job.trainer})

    def _prepare(self, folder: Path) -> Task:
        """Give the child everything it needs as files: it has no way to the database or the store."""
        dataset, job = self.job.dataset, self.job
        info = TrainerInfo.objects.filter(name=job.trainer).first()
        if info is None:
            raise UnknownTrainer(job.trainer, list(TrainerInfo.objects.order_by("name").values_list("name", flat=True)))
        if dataset is None:
            raise BadTrainingData("The dataset was deleted before the job ran; submit the job again with another one.")
        self.report.progress(0.0, "fetching data")
        self.report.write(now=True)
        file = dataset.table or dataset.artifact
        if file is None:
            raise BadTrainingData("The dataset has no file; see its warning, and submit the job with another one.")
        copy_to_file(file, folder / "data")
        request = TrainRequest(
            tenant=job.tenant.name,
            model=job.model.name,
            trainer=job.trainer,
            source=info.source,
            trainers_dir=str(catalogue.trainers_dir()),
            params=job.params,
            target=job.target or None,
            data=str(folder / "data"),
            format="parquet" if dataset.table is not None else cast(TableFormat, dataset.format),
            max_unpacked_bytes=int(conf.settings().datasets.max_unpacked),
        )
        write_json(folder / REQUEST_FILE, request)
        return Task(entry="train", folder=str(folder), memory_limit_bytes=job.memory_limit_bytes, nice=NICE)

    def _conclude(
        self, ending: TrainResult | Failed | Cancelled | Drained | Lost, *, keeper: LeaseKeeper, folder: Path
    ) -> None:
        if not isinstance(ending, TrainResult):
            self.report.write(now=True)
        match ending:
            case TrainResult():
                self._publish(ending, keeper=keeper, folder=folder)
            case Failed(code=code, detail=detail):
                self._fail(code, detail)
            case Cancelled():
                finish(self.claim, state=TrainingJob.State.CANCELLED, stage="")
            case Drained():
                give_back(self.claim)
            case Lost(detail=detail):
                retry_later(self.claim, max_attempts=self.job.max_attempts, code="worker_lost", detail=detail)

    def _publish(self, result: TrainResult, *, keeper: LeaseKeeper, folder: Path) -> None:
        """Register the version; while store or database do not answer, try again for half a minute before giving up."""
        self.report.progress(0.98, "storing")
        self.report.write(now=True)
        publication = Publication(self.claim, self.job, result, folder)
        pauses_s = iter(_PUBLISH_PAUSES_S)
        while True:
            try:
                version = publication.publish()
                break
            except _OUTAGES as error:
                pause_s = next(pauses_s, None)
                if pause_s is None or keeper.lost.is_set():
                    publication.discard()
                    raise
                logger.warning("job %s: storing waits %s s: %s", self.job.pk, pause_s, error)
                connection.close()
                time.sleep(pause_s)
            except (DataError, IntegrityError) as error:
                publication.discard()
                self._fail("trainer_failed", f"What the trainer made cannot be recorded: {error}".partition("\n")[0])
                return
            except ModelpoolError as error:
                publication.discard()
                self._fail(error.code, error.detail)
                return
        logger.info("job %s: version %s of model %s", self.job.pk, version.number, self.job.model.name)

    def _fail(self, code: str, detail: str) -> None:
        logger.info("job %s: failed, %s", self.job.pk, code)
        finish(self.claim, state=TrainingJob.State.FAILED, stage="", error_code=code[:64], error_detail=detail[:4000])

    def _conclude_later(self, error: Exception, *, code: str) -> None:
        """Queue the job again; if even that cannot be written, the lease runs out and another worker sees to it."""
        connection.close()
        try:
            detail = f"{type(error).__name__}: {error}".partition("\n")[0][:1000]
            retry_later(self.claim, max_attempts=self.job.max_attempts, code=code, detail=detail)
        except (LeaseLost, DatabaseError) as unwritten:
            logger.warning("job %s: left to the reaper: %s", self.job.pk, unwritten)
