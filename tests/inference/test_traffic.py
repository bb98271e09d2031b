"""Rules in force: in the fast lane, over the change feed, and in the figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from django.db import connections
from django.utils import timezone

from modelpool import conf
from modelpool.core.comparisons import Compared, Figures
from modelpool.core.errors import InvalidField, NoTrafficRule, VersionCannotServe, VersionInTraffic
from modelpool.core.formats import FORMATS
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.http import activating
from modelpool.inference.current import use_data_plane
from modelpool.inference.data_plane import DataPlane
from modelpool.inference.fast_lane import FastLane
from modelpool.inference.feed import POLL_S
from modelpool.inference.observation.shadow import MAX_WAITING
from modelpool.inference.resolution.lookup import find_route
from modelpool.monitoring.models import TrafficFigures
from modelpool.monitoring.services import DatabaseMonitor
from modelpool.monitoring.traffic import add_figures, traffic_report
from modelpool.registry import services as registry
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.quarantine import quarantine_version
from modelpool.registry.traffic_rules import Share, TrafficRule
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent, Tenant
from tests.core.formats import hostile
from tests.core.runtime.process.test_channel import HANG
from tests.inference.conftest import SIGNATURE, Caller, not_ours
from tests.waiting import wait_until

PATH = "/api/v1/tenants/acme/models/churn/predict"
CANARY = TrafficRule(canary=Share(2, 100))


@pytest.fixture
def key(transactional_db: None, make_key: Callable[..., str]) -> str:
    return make_key("predictor")


@pytest.fixture
def model(register: Any, yes_model: bytes, no_model: bytes, tenant: Tenant) -> RegisteredModel:
    """Version 1 says yes and is active, version 2 says no."""
    register(tenant, "churn", yes_model)
    register(tenant, "churn", no_model, activate="never")
    return registry.get_model(tenant, "churn")


def said(response: httpx.Response) -> tuple[Any, ...]:
    body = response.json()
    headers = response.headers
    variant = headers.get("x-modelpool-variant")
    return body["predictions"], body["version"], headers["x-modelpool-version"], variant


def wait_for_answer(caller: Any, key: str, version: int) -> None:
    wait_until(lambda: caller.predict("acme/churn", key=key).json()["version"] == version)


def test_a_canary_answers_where_it_is_asked_by_nobody(
    caller: Any, model: RegisteredModel, actor: Actor, key: str
) -> None:
    assert said(caller.predict("acme/churn", key=key)) == (["yes"], 1, "1", None)
    registry.set_traffic(model, rule=CANARY, actor=actor)
    wait_for_answer(caller, key, 2)
    assert said(caller.predict("acme/churn", key=key)) == (["no"], 2, "2", "canary")
    assert said(caller.predict("acme/churn/versions/1", key=key)) == (["yes"], 1, "1", None)
    refused = caller.predict("acme/churn", key=key, rows=[["a", 1, 1]])
    assert (refused.status_code, refused.headers["x-modelpool-version"]) == (422, "2")
    registry.end_traffic(model, actor=actor)
    wait_for_answer(caller, key, 1)
    assert [event.action for event in AuditEvent.objects.filter(action__startswith="traffic.").order_by("pk")] == [
        "traffic.set",
        "traffic.end",
    ]


def test_a_rule_outlives_the_process(caller: Any, model: RegisteredModel, actor: Actor, key: str) -> None:
    registry.set_traffic(model, rule=CANARY, actor=actor)
    assert said(caller.predict("acme/churn", key=key))[1:] == (2, "2", "canary")  # nothing was cached before


def test_one_customer_stays_with_one_version(caller: Any, model: RegisteredModel, actor: Actor, key: str) -> None:
    rule = TrafficRule(split=(Share(1, 50), Share(2, 50)), sticky_header="X-Customer")
    registry.set_traffic(model, rule=rule, actor=actor)

    async def ask(client: httpx.AsyncClient) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for number in range(60):
            name = f"customer-{number % 20}"
            headers = {"Authorization": f"Bearer {key}", "X-Customer": name}
            response = await client.post(PATH, json={"instances": [[1, 1, 1]]}, headers=headers)
            assert response.headers["x-modelpool-variant"] == {1: "a", 2: "b"}[response.json()["version"]]
            found.setdefault(name, set()).add(response.json()["version"])
        return found

    found = caller.run(ask)
    assert all(len(versions) == 1 for versions in found.values())
    assert set().union(*found.values()) == {1, 2}


def test_a_shadow_is_compared_and_never_answers(
    caller: Any, model: RegisteredModel, actor: Actor, key: str, plane: DataPlane
) -> None:
    rule = registry.set_traffic(model, rule=TrafficRule(shadow=Share(2, 100)), actor=actor)
    taken: dict[Compared, Figures] = {}

    async def ask(client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        for _ in range(3):
            response = await client.post(PATH, json={"instances": [[1, 1, 1], [-1, -1, -1]]}, headers=headers)
            assert said(response) == (["yes", "no"], 1, "1", "active")
        while not sum(figures.requests + figures.dropped for about, figures in taken.items() if about.against) >= 3:
            for about, figures in plane.comparisons.take().items():
                taken.setdefault(about, Figures()).add(figures)
            await asyncio.sleep(0.01)

    caller.run(ask)
    shadow = next(figures for about, figures in taken.items() if about.against == 1 and about.version == 2)
    main = next(figures for about, figures in taken.items() if about.against == 0 and about.version == 1)
    assert main.requests == 3
    assert {str(about.rule) for about in taken} == {rule.id}
    assert shadow.requests + shadow.dropped == 3
    assert shadow.rows == shadow.differing == 2 * shadow.requests  # each says the opposite of the other


@pytest.mark.slow
def test_a_shadow_whose_process_hangs_keeps_no_answer_back(
    register: Any, tenant: Tenant, actor: Actor, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real child that turns in circles: requests are answered while it does, more than may wait for it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "core" / "runtime" / "process" / "lying"))
    data, count = hostile.identity(), MAX_WAITING + 10
    signature = FORMATS["onnx"].signature_of(data)
    register(tenant, "churn", data, signature=signature)
    register(tenant, "churn", data, signature=signature, activate="never", trust=ModelVersion.Trust.UPLOADED_DATA)
    model = registry.get_model(tenant, "churn")
    registry.set_traffic(model, rule=TrafficRule(shadow=Share(2, 100)), actor=actor)
    plane = DataPlane(conf.ServingSettings(preload="active"), host=ModelHost(1 << 30, predict_timeout_s=3.0))
    plane.start()
    lane, figures = FastLane(not_ours, plane, settings=conf.ServingSettings()), Figures()

    async def ask(client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        for _ in range(count):
            response = await client.post(PATH, json={"instances": [[HANG, 1.0]]}, headers=headers)
            assert said(response) == ([[HANG, 1.0]], 1, "1", "active")
        take()
        assert (figures.requests, figures.errors) == (0, 0)  # the first copy hangs still
        while not figures.errors:
            await asyncio.sleep(0.02)
            take()

    def take() -> None:
        for about, found in plane.comparisons.take().items():
            if about.against:
                figures.add(found)

    try:
        wait_until(lambda: plane.is_preloaded)
        Caller(lane).run(ask)
    finally:
        plane.close()
    assert figures.dropped >= count - MAX_WAITING - 1
    assert figures.rows == 0


def test_in_place_of_a_canary_in_quarantine_the_active_version_answers(
    caller: Any, model: RegisteredModel, actor: Actor, key: str
) -> None:
    registry.set_traffic(model, rule=CANARY, actor=actor)
    wait_for_answer(caller, key, 2)
    version = registry.get_version(model, 2)
    quarantine_version(version.pk, tenant_id=version.tenant_id, reason="it crashes")
    wait_for_answer(caller, key, 1)


@pytest.mark.slow
def test_a_split_goes_on_without_the_active_version_that_it_leaves_out(
    caller: Any, model: RegisteredModel, register: Any, yes_model: bytes, tenant: Tenant, actor: Actor, key: str
) -> None:
    register(tenant, "churn", yes_model, activate="never")
    rule = TrafficRule(split=(Share(2, 100), Share(3, 0)))
    registry.set_traffic(model, rule=rule, actor=actor)
    wait_for_answer(caller, key, 2)
    active, other = registry.get_version(model, 1), registry.get_version(model, 3)
    quarantine_version(active.pk, tenant_id=active.tenant_id, reason="it crashes")
    assert said(caller.predict("acme/churn", key=key)) == (["no"], 2, "2", "a")
    assert find_route(("acme", "churn", None)).traffic is not None
    time.sleep(2 * POLL_S)  # until the process has heard of it
    assert said(caller.predict("acme/churn", key=key)) == (["no"], 2, "2", "a")
    assert caller.predict("acme/churn/versions/1", key=key).status_code == 503
    quarantine_version(other.pk, tenant_id=other.tenant_id, reason="it crashes as well")
    wait_until(lambda: caller.predict("acme/churn", key=key).status_code == 503)  # nobody could answer in its place


@pytest.mark.slow
def test_a_version_deleted_right_after_it_was_replaced_fails_no_request(
    caller: Any, model: RegisteredModel, register: Any, yes_model: bytes, tenant: Tenant, actor: Actor, key: str
) -> None:
    """The new one takes its time to load, in a process of its own; requests wait for it, the deleted one is gone."""
    statuses: list[tuple[int, int]] = []

    async def ask(client: httpx.AsyncClient) -> None:
        loop, headers = asyncio.get_running_loop(), {"Authorization": f"Bearer {key}"}
        seen = -1
        for turn in range(3):
            await client.post(PATH, json={"instances": [[1, 1, 1]]}, headers=headers)  # it is in memory
            change = loop.run_in_executor(None, replace_and_delete, turn)
            while not change.done() or seen != 3 + turn:
                response = await client.post(PATH, json={"instances": [[1, 1, 1]]}, headers=headers)
                seen = response.json().get("version", -1)
                statuses.append((response.status_code, seen))
                assert response.status_code == 200, response.text
                await asyncio.sleep(0)

    def replace_and_delete(turn: int) -> None:
        try:
            register(tenant, "churn", yes_model, trust=ModelVersion.Trust.UPLOADED_DATA)
            old = registry.get_version(registry.get_model(tenant, "churn"), 2 + turn if turn else 1)
            registry.delete_version(old, actor=actor)
        finally:
            connections.close_all()

    caller.run(ask)
    assert {status for status, _ in statuses} == {200}


def test_all_that_a_rule_names_is_preloaded(model: RegisteredModel, actor: Actor) -> None:
    registry.set_traffic(model, rule=TrafficRule(split=(Share(1, 50), Share(2, 50))), actor=actor)
    plane = DataPlane(conf.ServingSettings(preload="active"))
    plane.start()
    try:
        wait_until(lambda: plane.is_preloaded)
        assert {key.version_id for key in plane.pool.sizes()} == {registry.get_version(model, n).pk for n in (1, 2)}
    finally:
        plane.close()


def test_activating_the_canary_ends_it_at_once(model: RegisteredModel, actor: Actor) -> None:
    registry.set_traffic(model, rule=CANARY, actor=actor)
    registry.activate_version(model, number=2, actor=actor)
    model.refresh_from_db()
    assert model.traffic is None
    with pytest.raises(NoTrafficRule):
        registry.traffic_of(model)


def test_the_experiment_keeps_its_name_while_its_versions_are_the_same(model: RegisteredModel, actor: Actor) -> None:
    first = registry.set_traffic(model, rule=TrafficRule(canary=Share(2, 5)), actor=actor)
    more = registry.set_traffic(model, rule=TrafficRule(canary=Share(2, 50)), actor=actor)
    same = registry.set_traffic(model, rule=TrafficRule(canary=Share(2, 50)), actor=actor)
    other = registry.set_traffic(model, rule=TrafficRule(shadow=Share(2, 50)), actor=actor)
    assert first.id == more.id == same.id != other.id
    assert AuditEvent.objects.filter(action="traffic.set").count() == 3


def test_what_a_rule_names_is_there_and_not_deleted(model: RegisteredModel, actor: Actor) -> None:
    with pytest.raises(InvalidField, match=r"canary\.version"):
        registry.set_traffic(model, rule=TrafficRule(canary=Share(9, 5)), actor=actor)
    registry.set_traffic(model, rule=CANARY, actor=actor)
    with pytest.raises(VersionInTraffic, match="canary"):
        registry.delete_version(registry.get_version(model, 2), actor=actor)


def test_a_version_that_needs_other_columns_is_let_in_by_force_only(
    model: RegisteredModel, register: Any, no_model: bytes, tenant: Tenant, actor: Actor
) -> None:
    inputs = (*SIGNATURE.inputs[:2], msgspec.structs.replace(SIGNATURE.inputs[2], name="length"))
    signature = msgspec.structs.replace(SIGNATURE, inputs=inputs, example=None)
    register(tenant, "churn", no_model, activate="never", signature=signature)
    rule = TrafficRule(canary=Share(3, 5))
    with pytest.raises(InvalidField, match="'depth' is unknown"):
        registry.set_traffic(model, rule=rule, actor=actor)
    assert registry.set_traffic(model, rule=rule, actor=actor, force=True).canary == Share(3, 5)


@pytest.fixture
def in_use(plane: DataPlane) -> Any:
    use_data_plane(plane)
    yield plane
    use_data_plane(None)


def test_what_cannot_serve_is_neither_activated_nor_sent_traffic(
    in_use: DataPlane, model: RegisteredModel, register: Any, tenant: Tenant, actor: Actor
) -> None:
    register(tenant, "churn", b"no model at all", activate="never", trust=ModelVersion.Trust.UPLOADED_DATA)
    for change in (
        lambda: activating.activate_version(model, number=3, actor=actor),
        lambda: activating.set_traffic(model, rule=TrafficRule(shadow=Share(3, 1)), actor=actor),
    ):
        with pytest.raises(VersionCannotServe, match="Version 3"):
            change()
    model.refresh_from_db()
    assert (registry.get_model(tenant, "churn").active_version.number, model.traffic) == (1, None)  # type: ignore[union-attr]
    assert activating.activate_version(model, number=2, actor=actor).number == 2
    model.refresh_from_db()
    assert activating.roll_back(model, actor=actor).number == 1


def test_figures_of_many_processes_add_up(model: RegisteredModel) -> None:
    rule = UUID(int=5)
    about = Compared(model.tenant_id, model.pk, rule, 2, 1)
    figures = Figures(requests=2, rows=4, differing=1, values=4, difference_sum=2.0, difference_max=1.5)
    figures.latency, figures.main_latency = {10: 2}, {5: 2}
    own = Compared(model.tenant_id, model.pk, rule, 1)

    def add(_: int) -> None:
        try:
            add_figures({about: figures, own: Figures(requests=3, errors=1, latency={7: 2})})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(8)))
    report = traffic_report(model, rule=rule)
    (shadow,), (version,) = report.shadows, report.versions
    assert (shadow.requests, shadow.rows, shadow.differing_rows, shadow.disagreement) == (16, 32, 8, 0.25)
    assert (shadow.mean_difference, shadow.max_difference) == (0.5, 1.5)
    assert (version.requests, version.errors) == (24, 8)
    row = TrafficFigures.unscoped.get(version=1)
    assert row.latency == {"7": 16}
    TrafficFigures.unscoped.update(hour=row.hour - timedelta(hours=3))
    assert traffic_report(model, rule=rule, since=timezone.now() - timedelta(hours=2)).versions == []
    assert len(traffic_report(model, rule=rule, since=timezone.now() - timedelta(hours=4)).versions) == 1


def test_figures_are_written_by_the_process(model: RegisteredModel, actor: Actor) -> None:
    rule = registry.set_traffic(model, rule=CANARY, actor=actor)
    plane = DataPlane(conf.ServingSettings(preload=()), monitor=DatabaseMonitor(node="here", pid=1))
    plane.start()
    body = b'{"instances": [[1, 1, 1]]}'
    answer, route = plane.answer_blocking(("acme", "churn", None), body, content_type=b"application/json")
    assert (msgspec.json.decode(answer)["version"], route.variant) == (2, "canary")
    plane.close()
    (version,) = traffic_report(model, rule=UUID(rule.id)).versions
    assert (version.version, version.requests, version.errors) == (2, 1, 0)
    assert version.latency.p50 is not None
