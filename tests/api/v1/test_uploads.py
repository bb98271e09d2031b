"""A model that was made elsewhere: uploaded, shown, activated, asked, downloaded, deleted."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections

from modelpool.core.errors import VersionNotFound
from modelpool.inference.data_plane import DataPlane
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.pools import delete_model_if_unused
from modelpool.storage.models import Artifact
from modelpool.tenants.actors import SYSTEM
from modelpool.tenants.models import Tenant
from modelpool.training.models import Dataset, TrainingJob
from tests.api.v1.wire import Wire, body_of, problem
from tests.api.v1.world import World
from tests.fixtures.onnx_files import adds

pytestmark = pytest.mark.slow


def upload(wire: Wire, data: bytes, metadata: Any = None, *, name: str = "model.onnx", **options: Any) -> Any:
    parts: dict[str, Any] = {"file": SimpleUploadedFile(name, data)}
    if metadata is not None:
        parts["metadata"] = metadata if isinstance(metadata, str) else json.dumps(metadata)
    return wire.send_form("/models/m/versions", parts, **options)


def test_an_uploaded_models_life(plane: DataPlane, scientist: Wire, tenant: Tenant):
    one, two = adds(1), adds(2)
    first = upload(scientist, one, {"metrics": {"rmse": 0.5}, "tags": {"from": "elsewhere"}, "activate": "always"})
    assert first.status_code == 201
    shown = first.json()
    assert (shown["number"], shown["active"], shown["format"], shown["trust"]) == (1, True, "onnx", "uploaded-data")
    assert (shown["metrics"], shown["sha256"]) == ({"rmse": 0.5}, hashlib.sha256(one).hexdigest())
    raw = scientist.post("/models/m/versions?filename=model.onnx", two, content_type="application/octet-stream")
    assert (raw.status_code, raw["Location"], raw.json()["active"]) == (
        201,
        "/api/v1/tenants/acme/models/m/versions/2",
        False,
    )

    def ask(path: str = "/models/m/predict") -> Any:
        response = scientist.post(path, {"instances": [[1.0], [2.0]]})
        assert response.status_code == 200, response.content
        return response.json()

    assert ask() == {"predictions": ask()["predictions"], "model": "m", "version": 1}
    assert [row if isinstance(row, float) else row[0] for row in ask()["predictions"]] == [2.0, 3.0]
    assert ask("/models/m/versions/2/predict")["version"] == 2
    scientist.put("/models/m/aliases/next", {"version": 2})
    assert ask("/models/m/aliases/next/predict")["version"] == 2
    assert body_of(scientist.get("/models/m/versions/1/download")) == one
    wrong = scientist.post("/models/m/predict", {"instances": [["a"]]})
    assert (wrong.status_code, problem(wrong)["code"]) == (422, "signature_mismatch")
    assert scientist.post("/models/m/predict", b"{", content_type="application/json").status_code == 400
    assert scientist.post("/models/m/predict", b"x", content_type="text/html").status_code == 415


@pytest.mark.django_db
def test_what_is_refused_leaves_nothing(scientist: Wire, tenant: Tenant):
    pickle = upload(scientist, b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00.", name="model.onnx")
    assert (pickle.status_code, problem(pickle)["code"]) == (422, "untrusted_format")
    broken = upload(scientist, b"\x08\x09" + b"\xff" * 500)
    assert (broken.status_code, problem(broken)["code"]) == (422, "unloadable_model")
    assert upload(scientist, b"hello world").status_code == 422
    assert upload(scientist, adds(1), "{").status_code == 400
    assert upload(scientist, adds(1), "[]").status_code == 422
    for metadata, field in (
        ({"number": 7}, "metadata"),
        ({"metrics": {"a": "x"}}, "metadata.metrics"),
        ({"format": "pickle"}, "metadata.format"),
        ({"activate": "maybe"}, "metadata"),
    ):
        response = upload(scientist, adds(1), metadata)
        assert response.status_code == 422
        assert problem(response)["errors"][0]["field"].startswith(field)
    assert not ModelVersion.objects.for_tenant(tenant).exists()
    assert not RegisteredModel.objects.for_tenant(tenant).exists()
    assert not Artifact.objects.for_tenant(tenant).exclude(state=Artifact.State.DELETED).exists()


@pytest.mark.django_db
def test_a_refused_upload_leaves_a_model_that_is_needed(scientist: Wire, world: World, tenant: Tenant):
    model = RegisteredModel.objects.for_tenant(tenant).get()
    scientist.post("/models", {"name": "m"})
    assert upload(scientist, b"hello world").status_code == 422
    assert scientist.get("/models/m").status_code == 200
    assert delete_model_if_unused(model, actor=SYSTEM) is False


@pytest.mark.django_db
def test_a_model_that_a_job_is_to_fill_stays(scientist: Wire, world: World, tenant: Tenant):
    rows = {"columns": ["x", "y"], "rows": [[1, 2]]}
    scientist.post("/models/m/train", {"trainer": "line", "data": rows, "target": "y"})
    model = RegisteredModel.objects.for_tenant(tenant).get(name="m")
    assert delete_model_if_unused(model, actor=SYSTEM) is False
    TrainingJob.objects.for_tenant(tenant).filter(model=model).delete()
    assert delete_model_if_unused(model, actor=SYSTEM) is True


@pytest.mark.django_db
def test_a_repeated_upload_is_one_version(scientist: Wire, tenant: Tenant):
    once = {"Idempotency-Key": "once"}
    first, second = (upload(scientist, adds(1), {"description": "x"}, headers=once) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert upload(scientist, adds(2), {"description": "x"}, headers=once).status_code == 422
    assert ModelVersion.objects.for_tenant(tenant).count() == 1


def test_a_version_is_deleted_under_running_predictions(plane: DataPlane, scientist: Wire, tenant: Tenant):
    """Each of them is answered, or told that there is no such version; none breaks."""
    for constant in (1, 2):
        assert upload(scientist, adds(constant), {"activate": "always"}).status_code == 201
    key: Any = ("acme", "m", 1)
    is_asked, outcomes = threading.Event(), []

    def ask() -> None:
        body = b'{"instances": [[1.0]]}'
        try:
            while True:
                plane.answer_blocking(key, body, content_type=b"application/json")
                is_asked.set()
        except Exception as error:  # noqa: BLE001 - looked at below
            outcomes.append(type(error))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert is_asked.wait(30)
    assert scientist.delete("/models/m/versions/1").status_code == 204
    for thread in threads:
        thread.join(30)
    assert set(outcomes) == {VersionNotFound}
    assert scientist.delete("/models/m/versions/2").status_code == 409


def test_a_tenants_store_takes_its_files_and_a_models_store_comes_first(
    plane: DataPlane, operator: Wire, scientist: Wire, tenant: Tenant
):
    assert operator.patch("/api/v1/tenants/acme", {"store": "rows"}).status_code == 200
    scientist.post("/models", {"name": "m"})
    data = adds(1)
    assert upload(scientist, data).json()["store"] == "rows"
    scientist.patch("/models/m", {"store": "default"})
    assert upload(scientist, data).json()["store"] == "default"
    for number in (1, 2):
        assert body_of(scientist.get(f"/models/m/versions/{number}/download")) == data
    stored = scientist.post("/datasets", {"columns": ["x"], "rows": [[1]]}).json()["id"]
    assert Dataset.objects.for_tenant(tenant).select_related("artifact").get(pk=stored).artifact.store == "rows"
