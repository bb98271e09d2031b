"""A tenant with one of everything, made by the services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.registry import services as registry
from modelpool.registry.models import ModelVersion
from modelpool.registry.signing import worker_key
from modelpool.registry.versions import NewVersion
from modelpool.storage import services as storage
from modelpool.storage.models import Upload
from modelpool.storage.resumable import begin_upload
from modelpool.tenants import services as tenants
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import APIKey, Tenant, User
from modelpool.training import services as training
from modelpool.training.models import Dataset, JobLogLine, TrainerInfo, TrainingJob

SIGNATURE = ModelSignature(
    inputs=(TensorSpec("x", "float64"),), outputs=(TensorSpec("predict", "float64"),), example={"x": 1.0}
)
PARAMS = {
    "type": "object",
    "properties": {"alpha": {"type": "number", "minimum": 0}, "depth": {"type": "integer"}},
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class World:
    """One tenant and what is in it; model ``churn`` has versions 1 (active) and 2 (alias ``champion``)."""

    tenant: Tenant
    dataset: Dataset
    job: TrainingJob
    key: APIKey
    member: User
    upload: Upload

    @property
    def path_arguments(self) -> dict[str, Any]:
        """What stands in the paths of its things."""
        return {
            "tenant": self.tenant.name,
            "model": "churn",
            "number": 2,
            "alias": "champion",
            "dataset": self.dataset.pk,
            "job": self.job.pk,
            "key": self.key.pk,
            "user": self.member.username,
            "upload": self.upload.pk,
        }


def build_world(tenant: Tenant, *, actor: Actor) -> World:
    """Fill the tenant."""
    model = registry.create_model(tenant, name="churn", actor=actor, policy="pinned")
    for number in (1, 2):
        add_version(tenant, f"{tenant.name} file {number}".encode(), actor=actor, metrics={"accuracy": number / 10})
    registry.activate_version(model, number=1, actor=actor)
    registry.set_alias(model, name="champion", number=2, actor=actor)
    TrainerInfo.objects.get_or_create(name="line", defaults={"description": "Draws a line.", "params_schema": PARAMS})
    dataset = training.create_inline_dataset(tenant, columns=["x", "y"], rows=[[1, 2], [2, 4]], actor=actor)
    job = training.submit_job(tenant, model="churn", trainer="line", dataset=dataset, target="y", actor=actor)
    JobLogLine.objects.create(job=job, attempt=1, text="hello")
    key, _ = tenants.create_key(tenant=tenant, role="viewer", actor=actor)
    member = User.objects.create(username=f"member-of-{tenant.name}")
    tenants.set_member(tenant, user=member, role="scientist", actor=actor)
    upload = begin_upload(tenant, length=10, actor=actor)
    return World(tenant=tenant, dataset=dataset, job=job, key=key, member=member, upload=upload)


def add_more(world: World, number: int, *, actor: Actor) -> None:
    """Add one more of everything."""
    tenant = world.tenant
    version = add_version(tenant, f"more {number}".encode(), actor=actor)
    add_version(tenant, f"other {number}".encode(), actor=actor, name=f"other{number}", activate="always")
    registry.set_alias(version.model, name=f"alias{number}", number=version.number, actor=actor)
    training.submit_job(tenant, model="churn", trainer="line", dataset=world.dataset, target="y", actor=actor)
    training.create_inline_dataset(tenant, columns=["x"], rows=[[number]], actor=actor)
    tenants.create_key(tenant=tenant, role="viewer", actor=actor)
    person = User.objects.create(username=f"person-{number}-of-{tenant.name}")
    tenants.set_member(tenant, user=person, role="viewer", actor=actor)


def add_version(
    tenant: Tenant, data: bytes, *, actor: Actor, name: str = "churn", activate: str = "never", **fields: Any
) -> ModelVersion:
    """Register a file as a version; nothing looks into it."""
    model = registry.get_or_create_model(tenant, name=name, actor=actor)
    artifact = storage.store_artifact(tenant, chunks=[data], store=registry.store_of(model), filename="model.onnx")
    new = NewVersion(
        format="onnx", serving_format="onnx", trust="trained", artifact=artifact, signature=SIGNATURE, **fields
    )
    return registry.register_version(model, new=new, actor=actor, activate=activate, key=worker_key())
