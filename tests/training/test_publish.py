"""From a child's folder to a version: all of it or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.registry.models import ModelVersion
from modelpool.storage.models import Artifact
from modelpool.storage.services import get_store
from modelpool.tenants.models import Tenant
from modelpool.training.messages import TrainResult
from modelpool.training.models import TrainingJob
from modelpool.training.publish import Publication
from modelpool.training.queue import Claim, LeaseLost, claim_next
from tests.training.conftest import MakeJob

pytestmark = pytest.mark.django_db

_SIGNATURE = ModelSignature(inputs=(TensorSpec("x", "float64"),), outputs=(TensorSpec("predict", "float64"),))


def publication(claim: Claim, job: TrainingJob, folder: Path) -> Publication:
    (folder / "model.skops").write_bytes(b"a model")
    (folder / "model.onnx").write_bytes(b"the same, faster")
    result = TrainResult(
        format="sklearn",
        file="model.skops",
        is_compilable=True,
        compiled="model.onnx",
        signature=_SIGNATURE.to_dict(),
        parity={"equal": True},
        metrics={"r2": 0.5},
        primary_metric="r2",
        primary_mode="max",
        params={},
        figures={},
        libraries={},
    )
    return Publication(claim, job, result, folder)


def test_version_and_job_end_together(tenant: Tenant, make_job: MakeJob, tmp_path: Path) -> None:
    make_job(tenant)
    taken = claim_next("host:1", lease_s=30)
    assert taken is not None
    version = publication(*taken, tmp_path).publish()
    job = TrainingJob.objects.for_tenant(tenant).get()
    assert (job.state, job.version_number) == ("succeeded", version.number)
    assert (version.serving_format, version.job_id) == ("onnx", job.pk)


def test_a_lost_lease_leaves_neither_a_version_nor_files(tenant: Tenant, make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(tenant)
    taken = claim_next("host:1", lease_s=30)
    assert taken is not None
    TrainingJob.unscoped.filter(pk=job.pk).update(fence=99)  # somebody else has it now
    before = {item.key for item in get_store("default").list(tenant.pk.hex)}
    late = publication(*taken, tmp_path)
    with pytest.raises(LeaseLost):
        late.publish()
    assert not ModelVersion.unscoped.exists()
    assert {item.key for item in get_store("default").list(tenant.pk.hex)} == before
    assert not Artifact.objects.for_tenant(tenant).filter(state=Artifact.State.PENDING).exists()
