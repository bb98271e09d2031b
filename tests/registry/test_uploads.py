from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from modelpool import conf
from modelpool.core.errors import (
    InvalidField,
    ModelpoolError,
    StorageQuotaExceeded,
    TooLarge,
    UnloadableModel,
    UntrustedFormat,
)
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.pools import delete_model_if_unused
from modelpool.registry.services import create_model, resolve, update_model
from modelpool.registry.uploads import upload_into_pool, upload_version
from modelpool.storage.models import Artifact
from modelpool.storage.services import get_store, read_artifact
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant

Upload = Callable[..., ModelVersion]


@pytest.fixture(scope="module")
def host() -> Iterator[ModelHost]:
    host = ModelHost()
    yield host
    host.close()


@pytest.fixture(scope="module")
def onnx_file() -> bytes:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [1.0, 2.0])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture(scope="module")
def skops_file() -> bytes:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 2))
    data: bytes = skops.io.dumps(LogisticRegression().fit(features, np.where(features[:, 0] > 0, "yes", "no")))
    return data


@pytest.fixture
def upload(model: RegisteredModel, actor: Actor, host: ModelHost) -> Upload:
    def do(data: bytes, **options: Any) -> ModelVersion:
        pieces = [data[at : at + 50] for at in range(0, len(data), 50)]
        return upload_version(model, chunks=pieces, actor=actor, host=host, **options)

    return do


@pytest.mark.parametrize("store", ["default", "rows"])
def test_an_onnx_file_made_elsewhere_is_served_as_it_is(
    model: RegisteredModel, actor: Actor, upload: Upload, onnx_file: bytes, store: str, home: Path
) -> None:
    model = update_model(model, actor=actor, store=store)
    metadata = {
        "metrics": {"rmse": 0.5}, "params": {"a": 1}, "tags": {"by": "hand"}, "description": "x", "activate": "always",
    }  # fmt: skip
    version = upload(
        onnx_file, filename="linear.onnx", metadata=metadata, expected_sha256=hashlib.sha256(onnx_file).hexdigest()
    )
    assert (version.number, version.format, version.serving_format, version.trust) == (
        1,
        "onnx",
        "onnx",
        "uploaded-data",
    )
    assert [spec["name"] for spec in version.signature["inputs"]] == ["x"]
    assert (version.metrics, version.params, version.tags) == ({"rmse": 0.5}, {"a": 1}, {"by": "hand"})
    assert resolve(model.tenant, model.name).pk == version.pk
    artifact = Artifact.objects.for_tenant(model.tenant).get()
    assert (artifact.state, artifact.filename) == ("ready", "linear.onnx")
    assert read_artifact(artifact) == onnx_file
    assert list((home / "tmp").iterdir()) == []


@pytest.mark.slow
def test_a_skops_file_made_elsewhere_is_served_as_it_is(upload: Upload, skops_file: bytes) -> None:
    version = upload(skops_file, filename="model.skops")
    assert (version.format, version.serving_format, version.compiled) == ("sklearn", "sklearn", None)
    assert list(version.signature["classes"]) == ["no", "yes"]


def test_an_upload_without_the_metric_is_not_activated_by_the_policy(
    model: RegisteredModel, upload: Upload, onnx_file: bytes
) -> None:
    upload(onnx_file)
    model.refresh_from_db()
    assert model.active_version is None


def test_a_given_signature_is_kept(upload: Upload, onnx_file: bytes) -> None:
    signature = {
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 2]}],
        "outputs": [{"name": "predict", "dtype": "float32", "shape": [-1, 1]}],
        "example": {"x": [1.0, 2.0]},
    }
    version = upload(onnx_file, metadata={"signature": signature})
    assert version.signature["example"] == {"x": [1.0, 2.0]}


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("boom",))


@pytest.mark.parametrize("store", ["default", "rows"])
@pytest.mark.parametrize(
    ("data", "error"),
    [(pickle.dumps(Bomb()), UntrustedFormat), (b"", InvalidField), (b"hello world", UnloadableModel),
     (b"\x1f\x8b" + b"\0" * 50, ModelpoolError)],
    ids=["pickle", "empty", "text", "gzip"],
)  # fmt: skip
def test_what_is_no_model_is_refused_and_leaves_nothing(
    model: RegisteredModel, actor: Actor, upload: Upload, store: str, data: bytes, error: type[Exception]
) -> None:
    update_model(model, actor=actor, store=store)
    with pytest.raises(error):
        upload(data, filename="model.onnx")
    assert_nothing_is_left(model, store)


def test_a_broken_model_is_refused_and_leaves_nothing(model: RegisteredModel, upload: Upload, onnx_file: bytes) -> None:
    with pytest.raises(UnloadableModel):
        upload(onnx_file[: len(onnx_file) // 2])
    assert_nothing_is_left(model, "default")


@pytest.mark.slow
def test_a_broken_skops_file_is_refused_and_leaves_nothing(
    model: RegisteredModel, upload: Upload, skops_file: bytes
) -> None:
    with pytest.raises(UnloadableModel):
        upload(skops_file[:-100])
    assert_nothing_is_left(model, "default")


def test_a_wrong_signature_is_refused_and_leaves_nothing(
    model: RegisteredModel, upload: Upload, onnx_file: bytes
) -> None:
    signature = {"inputs": [{"name": "other", "dtype": "string"}], "outputs": [{"name": "predict", "dtype": "int64"}]}
    with pytest.raises(ModelpoolError):
        upload(onnx_file, metadata={"signature": signature})
    assert_nothing_is_left(model, "default")


_COLUMN = {"name": "x", "dtype": "float32", "shape": [-1]}


@pytest.mark.parametrize(
    ("metadata", "field"),
    [({"name": "x"}, "metadata"), ({"metrics": {"a": "b"}}, "metadata.metrics.a"),
     ({"tags": {"a": 1}}, "metadata.tags.a"),
     ({"activate": "yes"}, "metadata.activate"), ({"signature": {"inputs": 1}}, "metadata.signature.inputs"),
     ({"format": "pickle"}, "metadata.format"), ({"format": "sklearn"}, "metadata.format"), ([], "metadata"),
     ({"description": 5}, "metadata.description"), ({"params": {"a": "x" * 300_000}}, "metadata.params"),
     ({"figures": []}, "metadata.figures"), ({"figures": {"roc": [1]}}, "metadata.figures.roc"),
     ({"figures": {"a": {"x": "y" * 1_100_000}}}, "metadata.figures"),
     ({"figures": {str(name): {} for name in range(101)}}, "metadata.figures"),
     ({"signature": {"inputs": [], "outputs": [_COLUMN]}}, "metadata.signature.inputs"),
     ({"signature": {"inputs": [_COLUMN], "outputs": []}}, "metadata.signature.outputs"),
     ({"signature": {"inputs": [_COLUMN], "outputs": [_COLUMN, _COLUMN]}}, "metadata.signature.outputs"),
     *(({"signature": {"inputs": [{**_COLUMN, "shape": shape}], "outputs": [_COLUMN]}},
        "metadata.signature.inputs[0].shape") for shape in ([], [3], [-1, 0], [-1, -2], [-1] * 17)),
     ({"signature": {"inputs": [{**_COLUMN, "name": ""}], "outputs": [_COLUMN]}},
      "metadata.signature.inputs[0].name")],
)  # fmt: skip
def test_wrong_metadata_is_named_before_anything_is_stored(
    model: RegisteredModel, upload: Upload, onnx_file: bytes, metadata: Any, field: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        upload(onnx_file, metadata=metadata)
    assert caught.value.errors[0].field == field
    assert not Artifact.unscoped.exists()


def test_figures_come_with_an_upload(upload: Upload, onnx_file: bytes) -> None:
    figures = {"confusion_matrix": {"labels": ["a"], "matrix": [[3]]}, "mine": {"x": [1.0, float("nan")]}}
    assert upload(onnx_file, metadata={"figures": figures}).figures == {**figures, "mine": {"x": [1.0, None]}}


def test_limits_and_digests(
    model: RegisteredModel, upload: Upload, onnx_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidField, match="sha256"):
        upload(onnx_file, expected_sha256="0" * 64)
    monkeypatch.setenv("MODELPOOL_LIMITS_MAX_UPLOAD", "60")
    conf.settings.cache_clear()
    with pytest.raises(TooLarge):
        upload(onnx_file)
    model.tenant.max_storage_bytes = 10
    model.tenant.save()
    with pytest.raises(StorageQuotaExceeded):
        upload(onnx_file)
    assert_nothing_is_left(model, "default")


@pytest.mark.parametrize("name", ["x\0y", "x\r\ny", "x" * 251])
def test_a_file_with_impossible_names_is_refused_and_leaves_nothing(
    model: RegisteredModel, upload: Upload, name: str
) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], ["y"])],
        "named",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(UnloadableModel, match="must be one line"):
        upload(made.SerializeToString())
    assert_nothing_is_left(model, "default")


@pytest.mark.slow
def test_a_class_with_a_zero_character_is_refused(model: RegisteredModel, upload: Upload) -> None:
    labels = np.array(["a\0b", "c"], dtype=object)[[0, 1] * 20]
    data = skops.io.dumps(LogisticRegression().fit(np.arange(40.0).reshape(-1, 1), labels))
    with pytest.raises(UnloadableModel, match=r"U\+0000"):
        upload(data)
    assert_nothing_is_left(model, "default")


def test_an_upload_outlives_the_one_that_began_its_model_and_was_refused(
    tenant: Tenant, actor: Actor, host: ModelHost, onnx_file: bytes
) -> None:
    begun = create_model(tenant, name="begun", actor=actor)

    def chunks() -> Iterator[bytes]:
        yield onnx_file
        assert delete_model_if_unused(begun, actor=actor)

    version = upload_into_pool(tenant, name="begun", actor=actor, chunks=chunks(), host=host)
    assert (version.number, version.model.name) == (1, "begun")
    assert version.model_id != begun.pk


def assert_nothing_is_left(model: RegisteredModel, store: str) -> None:
    assert not Artifact.unscoped.exists()
    assert not ModelVersion.unscoped.exists()
    assert list(get_store(store).list()) == []
    assert list(conf.home().tmp_dir.iterdir()) == []
    model.refresh_from_db()
    assert model.last_number == 0
