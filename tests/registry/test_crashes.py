"""``kill -9`` at every step of store, register and delete: nothing acknowledged is lost, nothing half-done is seen."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.services import (
    NewVersion,
    create_model,
    delete_version,
    get_version,
    register_version,
    resolve,
    update_model,
)
from modelpool.storage import failpoints
from modelpool.storage.models import Artifact, ArtifactChunk, StoredBlob
from modelpool.storage.services import get_store, read_artifact, store_artifact, sweep
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant

MIB = 1 << 20
SIGNATURE = ModelSignature((TensorSpec("age", "float64"),), (TensorSpec("predict", "int64"),))
OF_STORES = "artifact"
"""Steps whose name begins so differ from store to store."""
TIMES = {"artifact.chunk": 5, "version.tombstoned": 1, "artifacts.released": 1, "artifact.removed": 1}
STEPS = [
    pytest.param(store, step, id=f"{store}-{step}")
    for store in ("default", "rows")
    for step in failpoints.STEPS
    if store == "default" or step.startswith(OF_STORES)
]


@pytest.fixture
def model(transactional_db: None, actor: Actor) -> RegisteredModel:
    return create_model(Tenant.objects.create(name="acme"), name="churn", actor=actor, policy="latest")


def data_of(number: int) -> list[bytes]:
    return [random.Random(number * 10 + part).randbytes(MIB) for part in range(3)]


def register(model: RegisteredModel, number: int, actor: Actor, store: str) -> ModelVersion:
    artifact = store_artifact(model.tenant, chunks=data_of(number), store=store)
    new = NewVersion(
        format="onnx", serving_format="onnx", trust="uploaded-data", artifact=artifact, signature=SIGNATURE
    )
    return register_version(model, new=new, actor=actor)


def in_child(
    call: Callable[[Callable[[str], None]], Any], *, kill_after_s: float | None = None
) -> tuple[int, list[str]]:
    """Run the call in a forked process; return its exit status and the sentences it got out before it ended.

    ``kill_after_s`` is counted from the first sentence, so that a slow machine gets as far as a fast one.
    """
    connections.close_all()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        pipe = os.fdopen(writer, "w")
        try:
            call(lambda sentence: print(sentence, file=pipe, flush=True))
        except BaseException as error:  # noqa: BLE001 - told to the parent
            print(f"failed {error!r}", file=pipe, flush=True)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        sentences = []
        if kill_after_s is not None:
            sentences.append(told.readline())
            time.sleep(kill_after_s)
            os.kill(pid, signal.SIGKILL)
        sentences += told.readlines()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, [sentence.rstrip("\n") for sentence in sentences]


def work(model: RegisteredModel, actor: Actor, store: str) -> Callable[[Callable[[str], None]], None]:
    def run(tell: Callable[[str], None]) -> None:
        for number in (1, 2):
            register(model, number, actor, store)
            tell(f"registered {number}")
        tell("deleting 1")
        delete_version(get_version(model, 1), actor=actor)
        tell("deleted 1")

    return run


def check_what_is_seen(model: RegisteredModel, told: list[str]) -> list[ModelVersion]:
    """Whatever can be seen is whole, and what was acknowledged is there."""
    versions = list(ModelVersion.objects.for_tenant(model.tenant).select_related("artifact").order_by("number"))
    model.refresh_from_db()
    assert [version.number for version in versions] == list(range(1, model.last_number + 1))
    for version in versions:
        digest = hashlib.sha256(b"".join(data_of(version.number))).hexdigest()
        if version.state == "ready":
            assert version.artifact.state == "ready"
            assert hashlib.sha256(read_artifact(version.artifact)).hexdigest() == version.sha256 == digest
        else:
            assert (version.state, version.artifact) == ("deleted", None)
            assert f"deleting {version.number}" in told
    ready = {version.number for version in versions if version.state == "ready"}
    for sentence in told:
        verb, _, number = sentence.partition(" ")
        assert verb != "failed", sentence
        assert verb != "registered" or int(number) in ready or f"deleting {number}" in told
        assert verb != "deleted" or int(number) not in ready
    if versions:
        assert resolve(model.tenant, "churn").state == "ready"
    return [version for version in versions if version.state == "ready"]


def check_nothing_is_left_over(model: RegisteredModel, ready: list[ModelVersion], store: str, home: Path) -> None:
    report = sweep(grace_s=0)
    assert report.missing == []
    keys = sorted(version.artifact.key for version in ready if version.artifact)
    assert sorted(f"{row.tenant_id.hex}/{row.pk.hex}" for row in Artifact.objects.for_tenant(model.tenant)) == keys
    assert [found.key for found in get_store(store).list()] == keys
    assert StoredBlob.objects.count() == (len(keys) if store == "rows" else 0)
    assert ArtifactChunk.objects.count() == (3 * len(keys) if store == "rows" else 0)
    assert sum(1 for _ in (home / "artifacts").glob("*/*")) == (len(keys) if store == "default" else 0)


@pytest.mark.parametrize(("store", "step"), STEPS)
def test_a_kill_at_any_step(
    model: RegisteredModel, actor: Actor, store: str, step: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_model(model, actor=actor, store=store)
    get_store(store).check()
    times = TIMES.get(step, 2)

    def killed(tell: Callable[[str], None]) -> None:
        failpoints.arm(f"{step}:{times}")
        work(model, actor, store)(tell)

    status, told = in_child(killed)
    assert status == -signal.SIGKILL, f"{step} was not reached: {told}"
    assert "deleted 1" not in told
    time.sleep(0.01)  # the clock of the sweep counts in milliseconds
    ready = check_what_is_seen(model, told)
    check_nothing_is_left_over(model, ready, store, home)
    if len(ready) < 2 and model.last_number < 2:
        assert register(model, model.last_number + 1, actor, store).number == model.last_number + 1


@pytest.mark.slow
@pytest.mark.parametrize("store", ["default", "rows"])
def test_a_kill_at_any_time(model: RegisteredModel, actor: Actor, store: str, home: Path) -> None:
    """Twenty kills at random times of a process that registers and deletes without end."""
    get_store(store).check()
    chance = random.Random(7)
    told: list[str] = []
    for _ in range(20):
        model.refresh_from_db()

        def run(tell: Callable[[str], None]) -> None:
            while True:
                model.refresh_from_db()
                number = model.last_number + 1
                tell(f"registered {register(model, number, actor, store).number}")
                if number > 2:
                    tell(f"deleting {number - 2}")
                    version = ModelVersion.objects.for_tenant(model.tenant).filter(number=number - 2).first()
                    if version is not None and version.state == "ready":
                        delete_version(version, actor=actor)

        status, sentences = in_child(run, kill_after_s=chance.uniform(0.0, 0.2))
        told += sentences
        assert status == -signal.SIGKILL
        check_what_is_seen(model, told)
    time.sleep(0.01)
    assert len([sentence for sentence in told if sentence.startswith("registered")]) >= 20
    check_nothing_is_left_over(model, check_what_is_seen(model, told), store, home)


def test_bytes_are_durable_before_a_row_names_them(
    model: RegisteredModel, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The argument for power cuts, which ``kill -9`` cannot make: the order of the calls."""
    get_store("default").check()
    calls: list[str] = []
    for name in ("fsync", "link"):
        monkeypatch.setattr(os, name, recording(getattr(os, name), name, calls))

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('INSERT INTO "modelpool_model_version"'):
            calls.append("insert version")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        register(model, 1, actor, "default")
    last = calls[-4:]
    assert last == ["fsync", "link", "fsync", "insert version"]


def recording(call: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    def recorded(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        calls.append(name)
        return result

    return recorded


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    failpoints.arm("")
