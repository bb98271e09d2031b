"""From a child's folder to a registered version: bytes first, then one transaction for version and job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelpool.core.artifacts import CHUNK_BYTES
from modelpool.core.signature import ModelSignature
from modelpool.registry.models import ModelVersion
from modelpool.registry.services import NewVersion, register_version
from modelpool.registry.signing import worker_key
from modelpool.storage.models import Artifact
from modelpool.storage.services import discard_artifact, store_artifact
from modelpool.tenants.actors import Actor
from modelpool.training.messages import TrainResult
from modelpool.training.models import TrainingJob
from modelpool.training.queue import Claim, LeaseLost, finish


@dataclass(slots=True)
class Publication:
    """What is to be registered, and what of it is stored already, so that a second try stores nothing twice."""

    claim: Claim
    job: TrainingJob
    result: TrainResult
    folder: Path
    artifact: Artifact | None = None
    compiled: Artifact | None = None

    def publish(self) -> ModelVersion:
        """Store the files, register the version, end the job; raise :class:`LeaseLost` with nothing left behind."""
        if self.artifact is None:
            self.artifact = self._store(self.result.file)
        if self.compiled is None and self.result.compiled is not None:
            self.compiled = self._store(self.result.compiled)
        try:
            return self._register(self.artifact, self.compiled)
        except LeaseLost:
            self.discard()
            raise

    def discard(self) -> None:
        """Take back the files that are stored, when no version will name them."""
        for file in (self.artifact, self.compiled):
            if file is not None:
                discard_artifact(file)
        self.artifact = self.compiled = None

    def _register(self, artifact: Artifact, compiled: Artifact | None) -> ModelVersion:
        return register_version(
            self.job.model,
            new=self._describe(artifact, compiled),
            actor=self._actor,
            activate=self.job.activate or None,
            key=worker_key(),
            in_transaction=self._finish,
        )

    @property
    def _actor(self) -> Actor:
        """The worker acts for whoever asked for the training."""
        job = self.job
        return Actor(kind="system", id=str(job.pk), label=job.created_by or "worker", request_id=job.request_id)

    def _store(self, name: str) -> Artifact:
        path = self.folder / Path(name).name
        return store_artifact(
            self.job.tenant,
            chunks=pieces_of(path),
            store=self.job.model.store or self.job.tenant.store,
            filename=path.name,
        )

    def _describe(self, artifact: Artifact, compiled: Artifact | None) -> NewVersion:
        result, job = self.result, self.job
        is_equal = compiled is not None and bool(result.parity and result.parity["equal"])
        return NewVersion(
            format=result.format,
            serving_format="onnx" if is_equal else result.format,
            trust=ModelVersion.Trust.TRAINED,
            artifact=artifact,
            compiled=compiled,
            signature=ModelSignature.from_dict(result.signature),
            parity=result.parity,
            metrics=result.metrics,
            primary_metric=result.primary_metric,
            primary_mode=result.primary_mode,
            params=result.params,
            tags=job.tags,
            figures=result.figures,
            libraries=result.libraries,
            job_id=job.pk,
            dataset_id=job.dataset_id,
        )

    def _finish(self, version: ModelVersion) -> None:
        finish(
            self.claim,
            state=TrainingJob.State.SUCCEEDED,
            progress=1.0,
            stage="",
            metrics=self.result.metrics,
            version_number=version.number,
        )


def pieces_of(path: Path) -> Iterator[bytes]:
    """Read a file of a work folder, a chunk at a time."""
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece
