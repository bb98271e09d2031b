from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelpool.core.errors import ModelUnavailable, UnloadableModel
from modelpool.core.runtime.pool import ModelPool, PoolKey
from tests.waiting import wait_until


class Model:
    """A stand-in for a loaded model that notices use after its end."""

    def __init__(self, size_bytes: int = 100) -> None:
        self.size_bytes = size_bytes
        self.closed = 0

    def predict(self) -> None:
        assert not self.closed

    def close(self) -> None:
        self.closed += 1


def key(version: object, *, tenant: str = "t") -> PoolKey:
    return PoolKey(tenant, "m", version)


@pytest.fixture
def pool() -> ModelPool[Model]:
    made: ModelPool[Model] = ModelPool(1000, failure_ttl_s=60.0)
    yield made
    made.close()


def test_a_model_is_loaded_once_for_many_callers(pool: ModelPool[Model]) -> None:
    started, go = threading.Semaphore(0), threading.Event()

    def load() -> Model:
        started.release()
        go.wait(5)
        return Model()

    futures = [pool.load(key(1), load) for _ in range(100)]
    started.acquire(timeout=5)
    go.set()
    entries = [future.result(5) for future in futures]
    assert len({id(entry) for entry in entries}) == 1
    assert pool.stats().loads == 1
    wait_until(lambda: len(entries[0].pins) == 100)
    for entry in entries:
        pool.release(entry)
    assert entries[0].pins == []


def test_a_loaded_model_is_had_at_once(pool: ModelPool[Model]) -> None:
    assert pool.pin(key(1)) is None
    model = Model()
    with pool.use(key(1), lambda: model) as used:
        assert used is model
    entry = pool.pin(key(1))
    assert entry is not None
    assert entry.item is model
    pool.release(entry)
    assert pool.pin(key(1, tenant="other")) is None


def test_the_least_recently_used_go_first(pool: ModelPool[Model]) -> None:
    models = {number: Model(300) for number in range(4)}
    for number in range(3):
        with pool.use(key(number), lambda number=number: models[number]):
            pass
    with pool.use(key(0), Model):
        pass
    with pool.use(key(3), lambda: models[3]):
        pass
    assert {found.version_id for found in pool.sizes()} == {0, 2, 3}
    wait_until(lambda: models[1].closed == 1)
    assert pool.stats().held_bytes == 900
    assert pool.stats().evictions == 1


def test_a_model_in_use_is_closed_by_its_last_holder(pool: ModelPool[Model]) -> None:
    model = Model()
    with pool.use(key(1), lambda: model), pool.use(key(1), Model):
        assert pool.discard(lambda found: found == key(1)) == 1
        assert key(1) not in pool
        model.predict()
    wait_until(lambda: model.closed == 1)


def test_what_is_pinned_may_exceed_the_budget_until_it_is_released(pool: ModelPool[Model]) -> None:
    with pool.use(key(1), lambda: Model(800)), pool.use(key(2), lambda: Model(800)):
        assert pool.stats().held_bytes == 1600
    assert pool.stats().held_bytes == 800


def test_room_is_made_before_a_large_load(pool: ModelPool[Model]) -> None:
    for number in range(3):
        with pool.use(key(number), lambda: Model(300)):
            pass
    held: list[int] = []

    def load() -> Model:
        held.append(pool.stats().held_bytes)
        return Model(900)

    with pool.use(key("large"), load, size_hint=900):
        pass
    assert held[0] + 900 <= 1000 + 125
    assert pool.stats().held_bytes == 900


def test_a_model_larger_than_the_budget_is_refused_and_closed(pool: ModelPool[Model]) -> None:
    model = Model(5000)
    with pytest.raises(ModelUnavailable, match=r"serving\.memory_budget"), pool.use(key(1), lambda: model):
        pass
    assert model.closed == 1
    assert pool.stats().held_bytes == 0


def test_no_model_goes_for_one_that_cannot_fit(pool: ModelPool[Model]) -> None:
    for tenant in ("a", "b"):
        with pool.use(key(1, tenant=tenant), lambda: Model(300)):
            pass
    with pytest.raises(ModelUnavailable), pool.use(key("huge"), lambda: Model(5000), size_hint=5000):
        pass
    assert pool.stats().held_bytes == 600
    assert pool.stats().evictions == 0


def test_a_failed_load_is_remembered(pool: ModelPool[Model]) -> None:
    calls: list[int] = []

    def fail() -> Model:
        calls.append(1)
        raise UnloadableModel("broken")

    for _ in range(10):
        with pytest.raises(UnloadableModel), pool.use(key(1), fail):
            pass
    assert len(calls) == 1


def test_a_failed_load_is_forgotten_after_a_while() -> None:
    pool: ModelPool[Model] = ModelPool(1000, failure_ttl_s=0.2)

    def fail() -> Model:
        raise UnloadableModel("broken")

    with pytest.raises(UnloadableModel), pool.use(key(1), fail):
        pass
    wait_until(lambda: pool.load(key(1), Model).exception() is None)
    assert key(1) in pool
    pool.close()


def test_a_changed_model_is_tried_again_at_once(pool: ModelPool[Model]) -> None:
    def fail() -> Model:
        raise UnloadableModel("broken")

    with pytest.raises(UnloadableModel), pool.use(key(1), fail):
        pass
    pool.forget_failures(lambda found: found.model_id == "m")
    with pool.use(key(1), Model):
        pass


def test_failures_of_random_keys_do_not_pile_up(pool: ModelPool[Model]) -> None:
    def fail() -> Model:
        raise UnloadableModel("broken")

    for number in range(1100):
        pool.load(key(number), fail).exception()
    assert len(pool._failures) <= 1000


def test_a_cancelled_caller_leaves_no_pin(pool: ModelPool[Model]) -> None:
    go = threading.Event()

    def load() -> Model:
        go.wait(5)
        return Model()

    gone, stays = pool.load(key(1), load), pool.load(key(1), load)
    assert gone.cancel()
    go.set()
    entry = stays.result(5)
    wait_until(lambda: len(entry.pins) == 1)
    pool.release(entry)


def test_close_ends_every_model() -> None:
    pool: ModelPool[Model] = ModelPool(1000)
    model = Model()
    with pool.use(key(1), lambda: model):
        pass
    pool.close()
    assert model.closed == 1
    with pytest.raises(ModelUnavailable), pool.use(key(1), Model):
        pass


def test_threads_never_meet_a_closed_model() -> None:
    """Eight threads, twenty keys, room for five models, and discards in between: nothing is used after its end."""
    pool: ModelPool[Model] = ModelPool(500, max_loads=4)
    made: list[Model] = []

    def load() -> Model:
        model = Model(100)
        made.append(model)
        return model

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(400):
            number = chance.randrange(20)
            with pool.use(key(number), load) as model:
                model.predict()
                if chance.random() < 0.1:
                    pool.discard(lambda found, number=number: found.version_id == number)
                model.predict()

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(work, seed) for seed in range(8)]:
            future.result(30)
    assert pool.stats().held_bytes <= 500
    assert pool.stats().held_bytes == sum(pool.sizes().values())
    pool.close()
    assert all(model.closed == 1 for model in made)


def test_a_model_that_cannot_be_closed_is_logged_and_holds_up_no_other(
    pool: ModelPool[Model], caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(Model):
        def close(self) -> None:
            raise OSError("its process is not ours")

    other = Model()
    for number, model in enumerate((Stuck(), other)):
        pool.release(pool.load(key(number), lambda model=model: model).result(5))
        pool.discard(lambda _: True)
    wait_until(lambda: other.closed == 1)
    assert "could not be closed" in caplog.text
