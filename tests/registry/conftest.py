"""A home folder of each test's own, and versions that are registered without a real model in them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelpool import conf
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.services import NewVersion, create_model, register_version
from modelpool.registry.signing import ingest_key, worker_key
from modelpool.storage.services import store_artifact
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant

SIGNATURE = ModelSignature((TensorSpec("age", "float64"),), (TensorSpec("predict", "int64"),))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MODELPOOL_HOME", str(tmp_path / "home"))
    conf.settings.cache_clear()
    yield conf.home().prepare().path
    conf.settings.cache_clear()


@pytest.fixture
def model(tenant: Tenant, actor: Actor) -> RegisteredModel:
    return create_model(tenant, name="churn", actor=actor)


@pytest.fixture
def make_new() -> Callable[..., NewVersion]:
    """``make_new(model, accuracy=0.9, …)`` stores a file and returns what registers it."""

    def make(model: RegisteredModel, accuracy: float | None = None, **fields: Any) -> NewVersion:
        artifact = store_artifact(model.tenant, chunks=[uuid.uuid4().bytes], store="default")
        given: dict[str, Any] = {"format": "onnx", "serving_format": "onnx", "trust": "uploaded-data"}
        given["signature"] = SIGNATURE
        if accuracy is not None:
            given |= {"metrics": {"accuracy": accuracy}, "primary_metric": "accuracy"}
        return NewVersion(artifact=artifact, **(given | fields))

    return make


@pytest.fixture
def register(actor: Actor, make_new: Callable[..., NewVersion]) -> Callable[..., ModelVersion]:
    """``register(model, accuracy=0.9, activate="never", …)`` registers a version."""

    def do(
        model: RegisteredModel, accuracy: float | None = None, *, activate: str | None = None, **fields: Any
    ) -> ModelVersion:
        new = make_new(model, accuracy, **({"trust": "trained"} | fields))
        key = worker_key() if new.trust == "trained" else ingest_key()
        return register_version(model, new=new, actor=actor, activate=activate, key=key)

    return do
