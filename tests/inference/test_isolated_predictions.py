from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelpool import conf
from modelpool.core.errors import ModelUnavailable
from modelpool.inference.data_plane import DataPlane
from modelpool.registry.models import ModelVersion
from modelpool.tenants.models import Tenant
from tests.waiting import wait_until

UPLOADED = ModelVersion.Trust.UPLOADED_DATA


@pytest.fixture
def key(transactional_db: None, make_key: Callable[..., str]) -> str:
    return make_key("predictor")


def children() -> set[int]:
    """Every process below this one, but those of the tests' own database server."""
    found, new = set(), {os.getpid()}
    while new:
        parent = new.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            below = {int(pid) for pid in task.read_text().split()}
            new |= below - found
            found |= below
    return {pid for pid in found if not _is_postgres(pid)}


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except FileNotFoundError:
        return True  # gone by now


def test_uploaded_models_answer_from_a_child_process(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str, plane: DataPlane
) -> None:
    before = children()
    version = register(tenant, "churn", yes_model, trust=UPLOADED)
    answer = caller.predict("acme/churn", key=key, rows=[[1, 1, 1], [-1, -1, -1]])
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == ["yes", "no"]
    assert children() > before
    entry = plane.pool.pin(plane.routes.load(("acme", "churn", None)).key)
    assert entry is not None
    assert entry.item.runs_inline is False
    assert entry.key.version_id == version.pk
    plane.pool.release(entry)


def test_a_killed_child_is_an_error_of_its_callers_only_and_comes_back(
    caller: Any, register: Any, yes_model: bytes, no_model: bytes, tenant: Tenant, key: str
) -> None:
    register(tenant, "trained", no_model)
    before = children()
    register(tenant, "uploaded", yes_model, trust=UPLOADED)
    assert caller.predict("acme/uploaded", key=key).status_code == 200
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
    statuses = {caller.predict("acme/uploaded", key=key).status_code}
    assert caller.predict("acme/trained", key=key).json()["predictions"] == ["no"]
    deadline = time.monotonic() + 10
    while (status := caller.predict("acme/uploaded", key=key).status_code) != 200:
        statuses.add(status)
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert statuses <= {200, 503}


def test_a_file_that_is_no_model_is_503_with_the_reason(caller: Any, register: Any, tenant: Tenant, key: str) -> None:
    register(tenant, "broken", b"\x08\x07 broken", trust=UPLOADED)
    response = caller.predict("acme/broken", key=key)
    assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
    assert int(response.headers["retry-after"]) >= 1


def test_a_file_that_changed_in_its_store_is_never_served(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str
) -> None:
    version = register(tenant, "churn", yes_model)
    store = conf.home().resolve("artifacts")
    for path in store.rglob(version.artifact.key.partition("/")[2]):
        path.chmod(0o600)
        path.write_bytes(yes_model[:-1] + b"?")
    response = caller.predict("acme/churn", key=key)
    assert (response.status_code, response.json()["code"]) == (503, "quarantined")


def test_a_load_that_takes_too_long_is_503_and_leaves_no_pin(
    register: Any, yes_model: bytes, tenant: Tenant, key: str, caller: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane: DataPlane = caller.lane._plane
    monkeypatch.setattr(plane.loader, "_timeout_s", 0.001)
    register(tenant, "churn", yes_model, trust=UPLOADED)
    response = caller.predict("acme/churn", key=key)
    assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
    wait_until(plane.pool.sizes)
    assert all(not entry.pins for entry in plane.pool._entries.values())


def test_a_thread_that_gives_up_waiting_leaves_no_pin(
    register: Any, yes_model: bytes, tenant: Tenant, plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane.loader, "_timeout_s", 0.001)
    register(tenant, "churn", yes_model, trust=UPLOADED)
    with pytest.raises(ModelUnavailable):
        plane.answer_blocking(("acme", "churn", None), b'{"instances": [[1, 1, 1]]}', content_type=b"application/json")
    wait_until(plane.pool.sizes)
    assert all(not entry.pins for entry in plane.pool._entries.values())
