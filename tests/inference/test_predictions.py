from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.db import connections

from modelpool.core.errors import ModelNotFound, NotAuthenticated
from modelpool.inference.data_plane import DataPlane
from modelpool.registry import services as registry
from modelpool.registry.models import ModelVersion
from modelpool.tenants import services as tenants
from modelpool.tenants.actors import Actor
from modelpool.tenants.authentication import find_principal
from modelpool.tenants.models import APIKey, Tenant
from tests.waiting import wait_until


@pytest.fixture
def key(transactional_db: None, make_key: Callable[..., str]) -> str:
    return make_key("predictor")


def test_lists_objects_and_csv_get_the_same_answer(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str
) -> None:
    register(tenant, "churn", yes_model)
    expected = {"predictions": ["yes", "no"], "model": "churn", "version": 1}
    rows = [[1, 1, 1], [-1, -1, -1]]
    records = [dict(zip(("height", "width", "depth"), row, strict=True)) for row in rows]
    table = "width,depth,height\n1,1,1\n-1,-1,-1\n"
    for how in (
        {"json": {"instances": rows}},
        {"json": {"instances": records}},
        {"json": {"dataframe_records": records}},
        {"content": table, "headers": {"Content-Type": "text/csv"}},
    ):
        response = caller.predict("acme/churn", key=key, **how)
        assert response.status_code == 200, response.text
        assert response.json() == expected
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "no-store"


def test_probabilities_come_with_classes(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str
) -> None:
    register(tenant, "churn", yes_model)
    body = {"instances": [[1, 1, 1]], "params": {"method": "predict_proba"}}
    answer = caller.predict("acme/churn", key=key, json=body).json()
    assert answer["classes"] == ["no", "yes"]
    assert answer["probabilities"][0][1] > 0.9
    assert sum(answer["probabilities"][0]) == pytest.approx(1.0)
    csv = {"content": "height,width,depth\n1,1,1\n", "headers": {"Content-Type": "text/csv"}}
    path = "/api/v1/tenants/acme/models/churn/predict?method=predict_proba"
    assert caller.request("POST", path, key=key, **csv).json() == answer


def test_no_rows_give_no_predictions(caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str) -> None:
    register(tenant, "churn", yes_model)
    assert caller.predict("acme/churn", key=key, rows=[]).json()["predictions"] == []


def test_versions_and_aliases_are_reached(
    caller: Any, register: Any, yes_model: bytes, no_model: bytes, tenant: Tenant, key: str, actor: Actor
) -> None:
    first = register(tenant, "churn", yes_model)
    register(tenant, "churn", no_model)
    registry.set_alias(first.model, name="champion", number=1, actor=actor)
    assert caller.predict("acme/churn", key=key).json() == {"predictions": ["no"], "model": "churn", "version": 2}
    assert caller.predict("acme/churn/versions/1", key=key).json()["predictions"] == ["yes"]
    assert caller.predict("acme/churn/aliases/champion", key=key).json()["version"] == 1
    for path, code in (
        ("acme/churn/versions/9", "version_not_found"),
        ("acme/churn/aliases/nobody", "alias_not_found"),
        ("acme/other", "model_not_found"),
        ("acme/UPPER", "model_not_found"),
    ):
        response = caller.predict(path, key=key)
        assert (response.status_code, response.json()["code"]) == (404, code)


def test_a_model_without_active_version_says_so(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str
) -> None:
    register(tenant, "churn", yes_model, activate="never")
    response = caller.predict("acme/churn", key=key)
    assert (response.status_code, response.json()["code"]) == (404, "no_active_version")


def test_who_may_predict(
    caller: Any, register: Any, yes_model: bytes, no_model: bytes, tenant: Tenant, other_tenant: Tenant, make_key: Any
) -> None:
    register(tenant, "churn", yes_model)
    register(other_tenant, "churn", no_model)
    statuses = {
        role: caller.predict("acme/churn", key=make_key(role)).status_code
        for role in ("viewer", "predictor", "scientist", "admin", "operator")
    }
    assert statuses == {"viewer": 403, "predictor": 200, "scientist": 200, "admin": 200, "operator": 200}
    foreign = caller.predict("umbrella/churn", key=make_key("admin"))
    missing = caller.predict("nowhere/churn", key=make_key("admin"))
    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert foreign.json()["detail"].replace("umbrella", "nowhere") == missing.json()["detail"]
    assert caller.predict("umbrella/churn", key=make_key("operator")).json()["predictions"] == ["no"]
    assert caller.predict("umbrella/churn", key=make_key("predictor", other_tenant)).json()["predictions"] == ["no"]
    assert caller.predict("nowhere/churn", key=make_key("operator")).json()["code"] == "tenant_not_found"


def test_keys_that_are_none(caller: Any, tenant: Tenant, transactional_db: None) -> None:
    for secret in ("mp_", "mp_" + "a" * 49, "mp_" + "é" * 49, "mp_" + "a" * 10_000):
        response = caller.request(
            "POST", "/api/v1/tenants/acme/models/m/predict", headers={"Authorization": f"Bearer {secret}".encode()}
        )
        assert response.status_code == 401
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_the_hot_path_runs_no_sql(
    caller: Any,
    register: Any,
    yes_model: bytes,
    tenant: Tenant,
    key: str,
    plane: DataPlane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(tenant, "churn", yes_model)
    plane.feed.stop()
    assert caller.predict("acme/churn", key=key).status_code == 200
    monkeypatch.setattr(plane, "load_key", None)
    monkeypatch.setattr(plane, "load_route", None)
    monkeypatch.setattr(plane, "load_entry", None)
    plane._sql.shutdown()

    def refuse(*_: Any) -> None:
        raise AssertionError("SQL on the hot path")

    with connections["default"].execute_wrapper(refuse):
        assert caller.predict("acme/churn", key=key).json()["predictions"] == ["yes"]


def test_a_hundred_first_requests_load_the_model_once(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str, plane: DataPlane
) -> None:
    register(tenant, "churn", yes_model)

    async def all_at_once(client: httpx.AsyncClient) -> list[httpx.Response]:
        call = {"json": {"instances": [[1, 1, 1]]}, "headers": {"Authorization": f"Bearer {key}"}}
        path = "/api/v1/tenants/acme/models/churn/predict"
        return await asyncio.gather(*(client.post(path, **call) for _ in range(100)))  # type: ignore[arg-type]

    responses = caller.run(all_at_once)
    assert [response.status_code for response in responses] == [200] * 100
    assert plane.pool.stats().loads == 1
    assert all(not entry.pins for entry in plane.pool._entries.values())


def test_an_activation_moves_the_route_only_when_the_new_version_is_loaded(
    caller: Any, register: Any, yes_model: bytes, no_model: bytes, tenant: Tenant, key: str, plane: DataPlane
) -> None:
    register(tenant, "churn", yes_model)
    assert caller.predict("acme/churn", key=key).json()["version"] == 1
    register(tenant, "churn", no_model)
    deadline = time.monotonic() + 5
    while (answer := caller.predict("acme/churn", key=key).json())["version"] == 1:
        assert answer["predictions"] == ["yes"]
        assert time.monotonic() < deadline
    assert answer == {"predictions": ["no"], "model": "churn", "version": 2}
    assert plane.pool.stats().models == 2


def test_an_activated_version_that_cannot_be_loaded_is_reported(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str
) -> None:
    register(tenant, "churn", yes_model)
    assert caller.predict("acme/churn", key=key).status_code == 200
    register(tenant, "churn", b"\x08\x07 broken")
    wait_until(lambda: caller.predict("acme/churn", key=key).status_code != 200)
    response = caller.predict("acme/churn", key=key)
    assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
    assert caller.predict("acme/churn/versions/1", key=key).status_code == 200


def test_a_deleted_version_stops(
    caller: Any,
    register: Any,
    yes_model: bytes,
    no_model: bytes,
    tenant: Tenant,
    key: str,
    actor: Actor,
    plane: DataPlane,
) -> None:
    first = register(tenant, "churn", yes_model)
    register(tenant, "churn", no_model)
    assert caller.predict("acme/churn/versions/1", key=key).status_code == 200
    registry.delete_version(ModelVersion.unscoped.get(pk=first.pk), actor=actor)
    wait_until(lambda: caller.predict("acme/churn/versions/1", key=key).status_code == 404)
    wait_until(lambda: all(found.version_id != first.pk for found in plane.pool.sizes()))
    assert caller.predict("acme/churn", key=key).status_code == 200


def test_what_did_not_exist_is_found_once_it_does(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller.lane._plane.routes._cache, "_refusal_ttl_s", 3600)  # the change alone ends the refusal
    assert caller.predict("acme/churn", key=key).status_code == 404
    register(tenant, "churn", yes_model)
    wait_until(lambda: caller.predict("acme/churn", key=key).status_code == 200)


def test_a_revoked_key_is_refused(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str, actor: Actor
) -> None:
    register(tenant, "churn", yes_model)
    assert caller.predict("acme/churn", key=key).status_code == 200
    principal = find_principal(key)
    assert principal is not None
    tenants.revoke_key(principal.key_id, tenant=tenant, actor=actor)
    wait_until(lambda: caller.predict("acme/churn", key=key).status_code == 401)


def test_a_suspended_tenant_is_refused_and_let_in_again(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str, actor: Actor
) -> None:
    register(tenant, "churn", yes_model)
    assert caller.predict("acme/churn", key=key).status_code == 200
    tenants.update_tenant(tenant, actor=actor, is_active=False)
    wait_until(lambda: caller.predict("acme/churn", key=key).status_code == 401)
    tenants.update_tenant(tenant, actor=actor, is_active=True)
    wait_until(lambda: caller.predict("acme/churn", key=key).status_code == 200)


@pytest.mark.slow
def test_an_expiring_key_ends_on_time_without_any_change(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, actor: Actor
) -> None:
    register(tenant, "churn", yes_model)
    row, secret = tenants.create_key(tenant=tenant, role="predictor", actor=actor, expires_in_days=1.2 / 86400)
    assert row.expires_at is not None
    assert caller.predict("acme/churn", key=secret).status_code == 200
    wait_until(lambda: time.time() > row.expires_at.timestamp())
    assert caller.predict("acme/churn", key=secret).status_code == 401


def test_random_keys_and_names_fill_no_memory(
    plane: DataPlane, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane.keys._cache, "_max_entries", 50)
    monkeypatch.setattr(plane.routes._cache, "_max_entries", 50)
    for number in range(120):
        with pytest.raises(NotAuthenticated):
            plane.keys.load(b"mp_%d" % number)
        with pytest.raises(ModelNotFound):
            plane.routes.load(("acme", f"m{number}", None))
    assert plane.keys._cache.refusal_count() <= 50
    assert plane.routes._cache.refusal_count() <= 50


def test_keys_remember_when_they_were_used(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, key: str, plane: DataPlane
) -> None:
    register(tenant, "churn", yes_model)
    caller.predict("acme/churn", key=key)
    assert APIKey.unscoped.get().last_used_at is None
    plane.recorder.record_uses()
    first = APIKey.unscoped.get().last_used_at
    assert first is not None
    plane.recorder.record_uses()
    assert APIKey.unscoped.get().last_used_at == first


def test_the_way_for_django_views_answers_alike(
    register: Any, yes_model: bytes, tenant: Tenant, plane: DataPlane
) -> None:
    register(tenant, "churn", yes_model)
    with ThreadPoolExecutor(8) as threads:
        body = b'{"instances": [[1, 1, 1]]}'
        calls = [
            threads.submit(plane.answer_blocking, ("acme", "churn", None), body, content_type=b"application/json")
            for _ in range(24)
        ]
        assert {call.result(10)[0] for call in calls} == {b'{"predictions":["yes"],"model":"churn","version":1}'}
    assert plane.pool.stats().loads == 1
