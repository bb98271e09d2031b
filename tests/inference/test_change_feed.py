from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from modelpool import conf
from modelpool.core.errors import DatabaseUnavailable
from modelpool.inference import feed as feed_module
from modelpool.inference.data_plane import DataPlane
from modelpool.inference.feed import ChangeFeed
from modelpool.tenants.changes import publish_change
from modelpool.tenants.models import Change, Tenant
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def publish(ref: str) -> None:
    with transaction.atomic():
        publish_change(Change.Kind.KEY, ref=ref, tenant_id=None)


class Reader:
    """A feed, and what it told."""

    def __init__(self, **how: Any) -> None:
        self.refs: list[str] = []
        self.resets = 0
        self.failures: list[Exception] = []
        self.feed = ChangeFeed(on_changes=self._on_changes, on_reset=self._on_reset, **how)

    def _on_changes(self, changes: Sequence[Change]) -> None:
        if self.failures:
            raise self.failures.pop()
        self.refs += [change.ref for change in changes]

    def _on_reset(self) -> None:
        self.resets += 1


@pytest.fixture
def reader() -> Any:
    made = Reader()
    yield made
    made.feed.stop()


def test_reading_goes_on_while_idle_work_waits_for_the_database(reader: Reader) -> None:
    began, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        may_end.wait(10)

    reader.feed = ChangeFeed(on_changes=reader._on_changes, on_reset=reader._on_reset, on_idle=wait, idle_s=0)
    reader.feed.start()
    assert began.wait(5)
    try:
        publish("meanwhile")
        wait_until(lambda: reader.refs == ["meanwhile"])
        assert reader.feed.is_fresh
    finally:
        may_end.set()


def test_changes_arrive_in_order_and_once(reader: Reader) -> None:
    publish("before")
    reader.feed.start()
    assert reader.feed.is_fresh
    for number in range(5):
        publish(str(number))
    wait_until(lambda: len(reader.refs) >= 5)
    publish("last")
    wait_until(lambda: reader.refs[-1:] == ["last"])
    assert reader.refs == ["0", "1", "2", "3", "4", "last"]
    assert reader.resets == 1


@pytest.mark.slow
def test_a_handler_that_fails_is_called_again(reader: Reader) -> None:
    reader.feed.start()
    reader.failures = [OperationalError("down for a moment"), DatabaseUnavailable("down for a moment")]
    publish("important")
    wait_until(lambda: reader.refs == ["important"])
    assert reader.resets == 1


@pytest.mark.slow
def test_a_change_that_cannot_be_handled_resets_instead_of_stopping_the_feed(reader: Reader) -> None:
    reader.feed.start()
    reader.failures = [ValueError("nobody understands this one")]
    publish("poison")
    wait_until(lambda: reader.resets == 2)
    publish("next")
    wait_until(lambda: reader.refs == ["next"])


def test_a_feed_that_was_restored_to_an_older_state_is_noticed(reader: Reader) -> None:
    publish("a")
    publish("b")
    reader.feed.start()
    Change.objects.all().delete()
    wait_until(lambda: reader.resets == 2)


@pytest.mark.slow
def test_after_an_outage_that_was_too_long_everything_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(max_staleness_s=0.6)
    publish("a")
    reader.feed.start()

    def down(*_: Any, **__: Any) -> None:
        raise OperationalError("no database")

    with monkeypatch.context() as outage:
        outage.setattr(feed_module, "changes_after", down)
        outage.setattr(feed_module, "last_change_id", down)
        wait_until(lambda: not reader.feed.is_fresh)
        assert reader.resets == 1
    wait_until(lambda: reader.feed.is_fresh)
    assert reader.resets == 2
    reader.feed.stop()


def test_predictions_go_on_without_a_database_for_a_while_and_then_stop(
    caller: Any, register: Any, yes_model: bytes, tenant: Tenant, make_key: Callable[..., str], plane: DataPlane
) -> None:
    register(tenant, "churn", yes_model)
    key = make_key("predictor")
    plane.feed.stop()
    assert caller.predict("acme/churn", key=key).status_code == 200
    plane.feed.valid_until = time.monotonic() - 1
    response = caller.predict("acme/churn", key=key)
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert int(response.headers["retry-after"]) >= 1
    with pytest.raises(DatabaseUnavailable):
        plane.answer_blocking(("acme", "churn", None), b"{}", content_type=b"application/json")


@pytest.mark.parametrize(
    ("preload", "expected"), [("active", {"a", "b"}), (("acme/b", "acme/gone"), {"b"}), ((), set())]
)
def test_models_are_preloaded(
    register: Any, yes_model: bytes, tenant: Tenant, preload: Any, expected: set[str], caplog: Any
) -> None:
    for name in ("a", "b"):
        register(tenant, name, yes_model)
    register(tenant, "idle", yes_model, activate="never")
    plane = DataPlane(conf.ServingSettings(preload=preload))
    assert not plane.is_preloaded
    plane.start()
    wait_until(lambda: plane.is_preloaded)
    assert ("names 'acme/gone'" in caplog.text) == ("acme/gone" in preload)
    loaded = {name for name in ("a", "b") if plane.routes.load(("acme", name, None)).key in plane.pool}
    assert loaded == expected
    assert len(plane.pool.sizes()) == len(expected)
    plane.close()


@pytest.mark.slow
def test_activations_under_load_fail_no_request(
    caller: Any, register: Any, yes_model: bytes, no_model: bytes, tenant: Tenant, make_key: Callable[..., str]
) -> None:
    """Six activations while requests never pause: each answer is right for the version that it names."""
    register(tenant, "churn", yes_model)
    key = make_key("predictor")
    call = {"json": {"instances": [[1, 1, 1]]}, "headers": {"Authorization": f"Bearer {key}"}}
    done = threading.Event()

    def activate() -> None:
        try:
            for number in range(2, 8):
                register(tenant, "churn", no_model if number % 2 == 0 else yes_model)
                time.sleep(0.35)
        finally:
            done.set()
            connections.close_all()

    async def keep_asking(client: Any) -> list[Any]:
        answers = []
        while not done.is_set():
            answers.append(await client.post("/api/v1/tenants/acme/models/churn/predict", **call))
        return answers

    thread = threading.Thread(target=activate)
    thread.start()
    responses = caller.run(keep_asking)
    thread.join()
    assert {response.status_code for response in responses} == {200}
    answers = [response.json() for response in responses]
    assert all(answer["predictions"] == (["no"] if answer["version"] % 2 == 0 else ["yes"]) for answer in answers)
    versions = [answer["version"] for answer in answers]
    assert versions == sorted(versions)
    assert len(set(versions)) >= 4


@pytest.mark.slow
def test_the_version_that_was_replaced_stays_for_a_roll_back(
    register: Any, yes_model: bytes, no_model: bytes, tenant: Tenant
) -> None:
    """Also where memory is so short that everything else has to go."""
    plane = DataPlane(conf.ServingSettings(preload=(), memory_budget=conf.Size(1_500_000)))
    plane.start()
    first = register(tenant, "churn", yes_model)
    route = ("acme", "churn", None)
    wait_until(lambda: plane.routes.load(route) == plane.routes.find(route))  # read during a change it is not kept
    plane.pool.release(plane.loader.obtain_blocking(plane.routes.find(route)))
    second = register(tenant, "churn", no_model)
    wait_until(lambda: plane.routes.find(route).key.version_id == second.pk)
    for number in range(30):
        register(tenant, f"other-{number}", yes_model)
        plane.pool.release(plane.loader.obtain_blocking(plane.routes.load(("acme", f"other-{number}", None))))
    held = {key.version_id for key in plane.pool.sizes()}
    assert plane.pool.stats().evictions > 0
    assert first.pk in held
    plane.close()
