"""Versions as a worker registers them: trained by Modelpool's own trainers, measured, compiled and signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.test import Client
from django.urls import reverse

from modelpool.core.compile.estimator import compile_estimator
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.core.testing.recording_run import RecordingRun
from modelpool.core.trainer import TrainedModel
from modelpool.registry.models import ModelVersion
from modelpool.registry.services import NewVersion, get_or_create_model, register_version
from modelpool.registry.signing import worker_key
from modelpool.storage.services import store_artifact
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from modelpool.training.models import Dataset, TrainingJob
from modelpool.training.trainers.params import TabularClassifierParams, TabularRegressorParams
from modelpool.training.trainers.tabular_classifier import TabularClassifier
from modelpool.training.trainers.tabular_regressor import TabularRegressor

N_ROWS = 120
PEOPLE = (TensorSpec("joined", "datetime", nullable=True),)


@dataclass(frozen=True)
class Made:
    """What a trainer gave, and its compiled form."""

    trained: TrainedModel
    compiled: bytes
    parity: dict[str, Any]

    @property
    def signature(self) -> ModelSignature:
        assert self.trained.signature is not None
        return self.trained.signature


@pytest.fixture(scope="session")
def people() -> pd.DataFrame:
    """Numbers, a date, a truth value and a text, with gaps; ``plan`` and ``spent`` follow from them."""
    generator = np.random.default_rng(11)
    frame = pd.DataFrame({"age": generator.normal(40, 12, N_ROWS).round(1)})
    frame["joined"] = 1.7e9 + generator.integers(0, 400, N_ROWS) * 86400.0
    frame["member"] = generator.random(N_ROWS) < 0.5
    frame["city"] = pd.Series(generator.choice(["Paris", "Rome", "Köln"], N_ROWS), dtype=object)
    frame["spent"] = frame.age / 12 + 2.0 * (frame.city == "Rome") + frame.member + generator.normal(0, 0.4, N_ROWS)
    names = np.array(["basic", "<b>plus</b>", "gold"])
    frame["plan"] = pd.Series(names[np.digitize(frame.spent, np.quantile(frame.spent, [0.33, 0.66]))], dtype=object)
    frame.loc[::9, "age"] = np.nan
    return frame


@pytest.fixture(scope="session")
def classifier(people: pd.DataFrame) -> Made:
    """Tells three plans apart."""
    params = TabularClassifierParams(algorithm="random_forest", n_estimators=8, max_depth=4, cv_folds=2)
    return _made(TabularClassifier(), people.drop(columns="spent"), "plan", params)


@pytest.fixture(scope="session")
def regressor(people: pd.DataFrame) -> Made:
    """Says how much is spent."""
    return _made(TabularRegressor(), people.drop(columns="plan"), "spent", TabularRegressorParams(algorithm="ridge"))


def _made(trainer: Any, frame: pd.DataFrame, target: str, params: Any) -> Made:
    trained = trainer.train(RecordingRun(frame, target=target, params=params, columns=PEOPLE))
    compilation = compile_estimator(trained.estimator, signature=trained.signature, sample=trained.sample)
    assert compilation.data is not None, compilation.parity.reason
    return Made(trained, compilation.data, compilation.parity.to_dict())


Publish = Callable[..., ModelVersion]


@pytest.fixture
def publish(actor: Actor) -> Publish:
    """``publish(tenant, made)`` registers it as a version, not active, of the model ``plans``."""

    def do(
        tenant: Tenant,
        made: Made,
        *,
        job: TrainingJob | None = None,
        dataset: Dataset | None = None,
        activate: str = "never",
        **known: Any,
    ) -> ModelVersion:
        model = get_or_create_model(tenant, name="plans", actor=actor)
        saved = store_artifact(tenant, chunks=[b"an estimator"], store="default", filename="model.skops")
        compiled = store_artifact(tenant, chunks=[made.compiled], store="default", filename="compiled.onnx")
        given = {
            "metrics": made.trained.metrics,
            "primary_metric": made.trained.primary_metric,
            "figures": made.trained.figures,
            "libraries": {"python": "3.11", "scikit-learn": "1.7"},
            "params": {"algorithm": "random_forest", "depths": [1, 2]},
            "parity": made.parity,
        }
        new = NewVersion(
            format="sklearn", serving_format="onnx", trust=ModelVersion.Trust.TRAINED, artifact=saved,
            compiled=compiled, signature=made.signature, job_id=job and job.pk, dataset_id=dataset and dataset.pk,
            **{**given, **known},
        )  # fmt: skip
        return register_version(model, new=new, actor=actor, activate=activate, key=worker_key())

    return do


def address(name: str, version: ModelVersion) -> str:
    """Return the address of a page or an action of a version."""
    return reverse(f"console:{name}", args=[version.tenant.name, version.model.name, version.number])


def open_page(client: Client, version: ModelVersion) -> Any:
    """Return the answer with the page."""
    response = client.get(address("version", version))
    assert response.status_code == 200
    return response
