"""People, and a tenant with a pool, for the pages of the console."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.test import Client

from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.services import NewVersion, create_model, register_version
from modelpool.storage.services import store_artifact
from modelpool.tenants import services
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant, User
from modelpool.training.models import Dataset, TrainerInfo, TrainingJob
from modelpool.training.services import create_dataset, submit_job

SIGNATURE = ModelSignature(inputs=(TensorSpec("x", "float64"),), outputs=(TensorSpec("predict", "float64"),))


@pytest.fixture
def sign_in(actor: Actor) -> Callable[..., Client]:
    """``sign_in(role, tenant)`` returns the browser of a new person with that role; ``operator`` needs no tenant."""

    def make(role: str, tenant: Tenant | None = None, *, name: str = "ann") -> Client:
        person = User.objects.create(username=name, is_staff=True, is_superuser=role == "operator")
        if tenant is not None:
            services.set_member(tenant, user=person, role=role, actor=actor)
        client = Client()
        client.force_login(person)
        return client

    return make


@dataclass(frozen=True)
class Pool:
    """A model with two versions, the first of them active, a dataset and a queued job."""

    tenant: Tenant
    model: RegisteredModel
    versions: list[ModelVersion]
    dataset: Dataset
    job: TrainingJob


def make_pool(tenant: Tenant, actor: Actor, *, name: str = "churn") -> Pool:
    """Fill a tenant through the services."""
    TrainerInfo.objects.get_or_create(name="tabular_classifier", defaults={"params_schema": {"type": "object"}})
    model = create_model(tenant, name=name, actor=actor, description=f"secret plans of {tenant.name}")
    versions = []
    for number, accuracy in enumerate((0.8, 0.9), start=1):
        artifact = store_artifact(
            tenant, chunks=[f"{tenant.name} {number}".encode()], store="default", filename="m.onnx"
        )
        new = NewVersion(
            format="onnx", serving_format="onnx", trust="uploaded-data", artifact=artifact, signature=SIGNATURE,
            metrics={"accuracy": accuracy, "log_loss": 1 - accuracy}, primary_metric="accuracy",
            figures={"feature_importance": {"features": ["<b>x</b>"], "importances": [1.0]}},
        )  # fmt: skip
        activate = "always" if number == 1 else "never"
        versions.append(register_version(model, new=new, actor=actor, activate=activate))
    dataset = create_dataset(tenant, chunks=[b"x,y\n1,2\n"], format="csv", filename="d.csv", actor=actor)
    job = submit_job(tenant, model=name, trainer="tabular_classifier", dataset=dataset, target="y", actor=actor)
    model.refresh_from_db()
    return Pool(tenant=tenant, model=model, versions=versions, dataset=dataset, job=job)


@pytest.fixture
def pool(tenant: Tenant, actor: Actor) -> Pool:
    """The pool of ``acme``."""
    return make_pool(tenant, actor)


@pytest.fixture
def foreign_pool(other_tenant: Tenant, actor: Actor) -> Pool:
    """The pool of ``umbrella``."""
    return make_pool(other_tenant, actor, name="virus")
