"""A compiled model, registered as a training worker would, and the fast lane over a real data plane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelpool import conf
from modelpool.core.compile.estimator import compile_estimator
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.inference.data_plane import DataPlane
from modelpool.inference.fast_lane import FastLane
from modelpool.registry import services as registry
from modelpool.registry.models import ModelVersion
from modelpool.registry.signing import ingest_key, worker_key
from modelpool.registry.versions import NewVersion
from modelpool.storage import services as storage
from modelpool.tenants.actors import Actor
from modelpool.tenants.changes import last_change_id
from modelpool.tenants.models import Tenant
from tests.waiting import wait_until

COLUMNS = ("height", "width", "depth")
SIGNATURE = ModelSignature(
    inputs=tuple(TensorSpec(name, "float64") for name in COLUMNS),
    outputs=(TensorSpec("predict", "string"), TensorSpec("predict_proba", "float64", (-1, 2))),
    classes=("no", "yes"),
    example=dict.fromkeys(COLUMNS, 0.5),
)


def _compiled(*, sign: int) -> bytes:
    """A logistic regression that says yes where the sum is positive, or with ``sign=-1`` where it is negative."""
    chance = np.random.default_rng(7)
    frame = pd.DataFrame(chance.normal(size=(200, 3)), columns=list(COLUMNS))
    labels = np.where(sign * frame.sum(axis=1) > 0, "yes", "no")
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=100)).fit(frame, labels)
    compilation = compile_estimator(estimator, signature=SIGNATURE, sample=frame.head(50))
    assert compilation.data is not None, compilation.parity.reason
    return compilation.data


@pytest.fixture(scope="session")
def yes_model() -> bytes:
    """Answers yes for ``[1, 1, 1]``."""
    return _compiled(sign=1)


@pytest.fixture(scope="session")
def no_model() -> bytes:
    """Answers no for ``[1, 1, 1]``."""
    return _compiled(sign=-1)


Register = Callable[..., ModelVersion]


@pytest.fixture
def register(transactional_db: None, actor: Actor) -> Register:
    """``register(tenant, name, data)`` stores a file and registers it as a version, by default the active one."""

    def do(
        tenant: Tenant,
        name: str,
        data: bytes,
        *,
        activate: str = "always",
        trust: str = ModelVersion.Trust.TRAINED,
        signature: ModelSignature = SIGNATURE,
    ) -> ModelVersion:
        model = registry.get_or_create_model(tenant, name=name, actor=actor)
        artifact = storage.store_artifact(tenant, chunks=[data], store=registry.store_of(model), filename="model.onnx")
        new = NewVersion(format="onnx", serving_format="onnx", trust=trust, artifact=artifact, signature=signature)
        key = worker_key() if trust == ModelVersion.Trust.TRAINED else ingest_key()
        return registry.register_version(model, new=new, actor=actor, activate=activate, key=key)

    return do


@pytest.fixture
def plane(transactional_db: None) -> Iterator[DataPlane]:
    """A data plane that follows the feed; nothing is preloaded."""
    made = DataPlane(conf.ServingSettings(preload=()))
    made.start()
    yield made
    made.close()


def let_it_hear(plane: DataPlane) -> None:
    """Wait until the data plane has heard of everything published: what it loads then, it keeps."""
    wait_until(lambda: plane.feed._last_id == last_change_id())


async def not_ours(scope: Any, receive: Any, send: Any) -> None:
    """Stands for Django: says that the request was handed on."""
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"handed on"})


class Caller:
    """Sends requests through the fast lane, in the event loop of a test."""

    def __init__(self, lane: FastLane) -> None:
        self.lane = lane

    def run(self, work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        """Run ``work(client)`` to its end."""

        async def main() -> Any:
            transport = httpx.ASGITransport(self.lane)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await work(client)

        return asyncio.run(main())

    def request(self, method: str, path: str, *, key: str | None = None, **how: Any) -> httpx.Response:
        """Send one request."""
        headers = {**how.pop("headers", {}), **({"Authorization": f"Bearer {key}"} if key else {})}
        response: httpx.Response = self.run(lambda client: client.request(method, path, headers=headers, **how))
        return response

    def predict(self, path: str, *, key: str | None, rows: Any = ((1, 1, 1),), **how: Any) -> httpx.Response:
        """Predict with ``instances``; ``path`` is ``tenant/model`` and what may follow."""
        tenant, model, *rest = path.split("/")
        whole = "/".join(["/api/v1/tenants", tenant, "models", model, *rest, "predict"])
        how = how or {"json": {"instances": rows}}
        return self.request("POST", whole, key=key, **how)


@pytest.fixture
def caller(plane: DataPlane) -> Caller:
    """The fast lane before an application that answers 299."""
    return Caller(FastLane(not_ours, plane, settings=conf.ServingSettings(max_body=conf.Size(100_000))))
