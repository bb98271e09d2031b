"""What web processes tell of their work: what is loaded where, how often it was used, and what follows from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import Error as DatabaseError
from django.test import Client
from django.utils import timezone

from modelpool import conf
from modelpool.api.v1.documents.versions import present_version
from modelpool.inference.data_plane import DataPlane
from modelpool.inference.fast_lane import FastLane
from modelpool.inference.observation.monitor import NoMonitor, Recorder
from modelpool.monitoring.models import LoadedVersion, ServingProcess, VersionUse
from modelpool.monitoring.querysets import nodes, requests_lately
from modelpool.monitoring.services import DatabaseMonitor
from modelpool.registry.services import get_model, get_version
from modelpool.tenants.models import Tenant, User
from tests.inference.conftest import Caller, not_ours

MIB = 2**20


@pytest.fixture
def monitor() -> DatabaseMonitor:
    return DatabaseMonitor(node="node-1", pid=4711)


def predict(plane: DataPlane, name: str, *, key: str, times: int = 1) -> None:
    caller = Caller(FastLane(not_ours, plane, settings=conf.ServingSettings()))
    for _ in range(times):
        assert caller.predict(f"acme/{name}", key=key).status_code == 200


def served(tenant: Tenant, name: str) -> Any:
    return get_version(get_model(tenant, name), 1)


@pytest.fixture
def watched(transactional_db: None, monitor: DatabaseMonitor) -> Any:
    plane = DataPlane(conf.ServingSettings(preload=(), memory_budget=conf.Size(8 * MIB)), workers=2, monitor=monitor)
    plane.feed.start()
    yield plane
    plane.close()


def test_a_version_says_where_it_is_loaded_until_the_process_ends(
    watched: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, make_key: Any
) -> None:
    register(tenant, "churn", yes_model)
    predict(watched, "churn", key=make_key("predictor"), times=3)
    watched.recorder.run()
    (loaded,) = present_version(served(tenant, "churn")).loaded
    (holding,) = watched.pool.holdings()
    assert (loaded.node, loaded.pid, loaded.size_bytes) == ("node-1", 4711, holding.size_bytes)
    assert timezone.now() - loaded.since < timedelta(seconds=30)
    (node,) = nodes()
    assert (node.held_bytes, node.budget_bytes) == (holding.size_bytes, 4 * MIB)
    watched.close()
    assert present_version(served(tenant, "churn")).loaded == []
    assert present_version(served(tenant, "churn")).requests_last_30_days == 3
    assert nodes() == []


def test_what_is_not_in_memory_any_more_is_not_told(
    watched: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, make_key: Any
) -> None:
    key = make_key("predictor")
    for name in ("a", "b"):
        register(tenant, name, yes_model)
        predict(watched, name, key=key)
    watched.recorder.run()
    assert LoadedVersion.unscoped.count() == 2
    gone = served(tenant, "a").pk
    watched.pool.discard(lambda found: found.version_id == gone)
    watched.recorder.run()
    assert [row.version_id for row in LoadedVersion.unscoped.all()] == [served(tenant, "b").pk]


def test_rows_of_dead_processes_are_not_shown_and_go_with_the_next_start(
    watched: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, make_key: Any
) -> None:
    register(tenant, "churn", yes_model)
    predict(watched, "churn", key=make_key("predictor"))
    watched.recorder.run()
    ServingProcess.objects.update(seen_at=timezone.now() - timedelta(minutes=5))
    assert present_version(served(tenant, "churn")).loaded == []
    other = DatabaseMonitor(node="node-1", pid=4712)
    other.record_loaded(watched.pool.holdings(), budget_bytes=1)
    assert list(ServingProcess.objects.values_list("pid", flat=True)) == [4712]
    watched.recorder._told = None  # it lives after all, and says so at its next sign of life
    watched.recorder.run()
    assert sorted(ServingProcess.objects.values_list("pid", flat=True)) == [4711, 4712]
    assert len(present_version(served(tenant, "churn")).loaded) == 2


def test_use_of_all_processes_adds_up(
    watched: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, make_key: Any
) -> None:
    key = make_key("predictor")
    register(tenant, "churn", yes_model)
    predict(watched, "churn", key=key, times=2)
    watched.recorder.record_uses()
    predict(watched, "churn", key=key, times=3)
    watched.recorder.record_uses()
    pool_key = watched.pool.holdings()[0].key
    DatabaseMonitor(node="node-2", pid=1).record_use({pool_key: 10})
    assert requests_lately(served(tenant, "churn")) == 15
    assert VersionUse.unscoped.count() == 1


def test_use_that_could_not_be_written_is_written_later(
    watched: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, make_key: Any
) -> None:
    class Broken(NoMonitor):
        is_broken = True
        told: list[dict[Any, int]] = []

        def record_use(self, uses: Any) -> None:
            if self.is_broken:
                raise DatabaseError("gone")
            self.told.append(dict(uses))

    broken = Broken()
    recorder = Recorder(broken, watched.pool, watched.keys)
    register(tenant, "churn", yes_model)
    predict(watched, "churn", key=make_key("predictor"), times=2)
    recorder._used_at = float("-inf")
    recorder.run()
    broken.is_broken = False
    recorder.close()
    assert [list(uses.values()) for uses in broken.told] == [[2]]


def test_what_was_used_most_is_loaded_at_the_next_start(
    register: Any, yes_model: bytes, tenant: Tenant, monitor: DatabaseMonitor
) -> None:
    versions = [register(tenant, name, yes_model) for name in ("seldom", "often", "never")]
    register(tenant, "often", yes_model)  # version 2 answers now, version 1 was asked for by its number
    settings = conf.ServingSettings(preload="recent")
    plane = DataPlane(settings)
    keys = {name: plane.routes.load(("acme", name, 1)).key for name in ("seldom", "often")}
    monitor.record_use({keys["seldom"]: 1, keys["often"]: 5})
    assert monitor.most_used(limit=10) == [versions[1].pk, versions[0].pk]
    assert monitor.most_used(limit=1) == [versions[1].pk]
    plane.close()
    again = DataPlane(settings, monitor=monitor)
    again.start()
    again._preloading._finished.wait(10)
    assert {holding.key for holding in again.pool.holdings()} == set(keys.values())
    assert again.routes.find(("acme", "seldom", None)) is not None
    again.close()
    assert requests_lately(versions[0]) == 1  # being loaded beforehand is no use


def test_operators_see_the_page_of_loaded_models_and_nobody_else(
    watched: DataPlane, register: Any, yes_model: bytes, tenant: Tenant, make_key: Any
) -> None:
    register(tenant, "churn", yes_model)
    predict(watched, "churn", key=make_key("predictor"))
    watched.recorder.run()
    browser = Client()
    browser.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    page = browser.get("/console/operate/nodes/")
    assert page.status_code == 200
    assert b"node-1" in page.content
    assert b"churn" in page.content
    version = browser.get("/console/tenants/acme/models/churn/versions/1/").content
    assert b"4711" in version
    assert Client().get("/console/operate/nodes/").status_code == 302
