"""Which models stay: by recency, size, load time and whose they are."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from modelpool.core.runtime import eviction
from modelpool.core.runtime.pool import ModelPool, PoolKey

MIB = 2**20


class Model:
    """A stand-in for a loaded model, whose size may change."""

    def __init__(self, size_bytes: int = MIB) -> None:
        self.size_bytes = size_bytes

    def close(self) -> None:
        """Nothing is to be given back."""


def key(version: object, *, tenant: str = "t") -> PoolKey:
    return PoolKey(tenant, "m", version)


@pytest.fixture
def make_pool() -> Iterator[Callable[..., ModelPool[Model]]]:
    pools: list[ModelPool[Model]] = []

    def make(budget_bytes: int = 10 * MIB, **how: object) -> ModelPool[Model]:
        pools.append(ModelPool(budget_bytes, **how))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def use(pool: ModelPool[Model], version: object, *, tenant: str = "t", size: int = MIB, load_s: float = 0.0) -> None:
    def load() -> Model:
        time.sleep(load_s)
        return Model(size)

    with pool.use(key(version, tenant=tenant), load):
        pass


def versions(pool: ModelPool[Model], tenant: str = "t") -> set[object]:
    return {found.version_id for found in pool.sizes() if found.tenant_id == tenant}


def test_a_large_model_goes_before_small_ones_that_cost_the_same(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool()
    for number in range(4):
        use(pool, number)
    use(pool, "large", size=6 * MIB)
    use(pool, "next")
    assert versions(pool) == {0, 1, 2, 3, "next"}


def test_what_is_slow_to_load_stays_longer(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool()
    use(pool, "slow", load_s=0.05)
    for number in range(30):
        use(pool, number)
    assert "slow" in versions(pool)
    for number in range(1000):
        use(pool, f"later {number}")
    assert "slow" not in versions(pool)


def test_a_model_that_is_used_again_and_again_outlives_a_scan(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool()
    for number in range(200):
        use(pool, "hot")
        use(pool, number)
    assert "hot" in versions(pool)
    assert pool.stats().loads == 201


def test_a_tenant_that_cycles_through_its_models_evicts_its_own(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool(20 * MIB, tenant_share=0.5)
    for number in range(8):
        use(pool, number, tenant="quiet")
    for number in range(500):
        use(pool, number, tenant="greedy")
    assert versions(pool, "quiet") == set(range(8))
    assert len(versions(pool, "greedy")) == 12


def test_a_tenant_alone_has_the_whole_budget(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool(20 * MIB, tenant_share=0.25)
    for number in range(50):
        use(pool, number)
    assert len(versions(pool)) == 20


def test_a_tenant_over_its_share_gives_way_to_another(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool(20 * MIB, tenant_share=0.5)
    for number in range(20):
        use(pool, number, tenant="first")
    for number in range(10):
        use(pool, number, tenant="second")
    assert len(versions(pool, "first")) == 10
    assert len(versions(pool, "second")) == 10


def test_slow_loads_of_one_tenant_hold_up_nobody_else(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool(100 * MIB, max_loads=3, max_tenant_loads=2)
    go, running, most = threading.Event(), [], []

    def slow() -> Model:
        running.append(1)
        most.append(len(running))
        go.wait(10)
        running.pop()
        return Model()

    slow_ones = [pool.load(key(number, tenant="slow"), slow) for number in range(20)]
    for number in range(50):
        use(pool, number, tenant="quick")
    assert not any(future.done() for future in slow_ones)
    go.set()
    for future in slow_ones:
        pool.release(future.result(10))
    assert max(most) == 2


def test_what_was_replaced_is_kept_for_a_while(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool()
    use(pool, "old")
    use(pool, "older")
    pool.keep(key("old"), 60)
    for number in range(100):
        use(pool, number)
    assert "old" in versions(pool)
    assert "older" not in versions(pool)
    pool.keep(key("old"), 0)
    for number in range(100, 200):
        use(pool, number)
    assert "old" not in versions(pool)


def test_kept_models_do_not_exceed_the_budget(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool()
    for number in range(50):
        use(pool, number)
        pool.keep(key(number), 60)
    assert pool.stats().held_bytes == 10 * MIB


def test_a_model_that_grows_is_counted_with_what_it_takes_now(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool()
    leaking = Model()
    with pool.use(key("leaking"), lambda: leaking):
        for number in range(5):
            use(pool, number)
        leaking.size_bytes = 8 * MIB
        pool.measure()
        assert pool.stats().held_bytes == 10 * MIB
        assert len(versions(pool)) == 3
    assert sum(pool.sizes().values()) == pool.stats().held_bytes


def test_a_smaller_budget_is_kept_at_once_and_the_first_is_the_largest(
    make_pool: Callable[..., ModelPool[Model]],
) -> None:
    pool = make_pool()
    for number in range(10):
        use(pool, number)
    pool.resize(4 * MIB)
    assert pool.stats().held_bytes == 4 * MIB
    pool.resize(100 * MIB)
    for number in range(20, 40):
        use(pool, number)
    assert pool.stats().held_bytes == 10 * MIB


@pytest.mark.slow
def test_evictions_do_not_look_at_every_model(
    make_pool: Callable[..., ModelPool[Model]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    original = eviction._worth

    def counting(entry: object, clock: float) -> float:
        nonlocal looks
        looks += 1
        return original(entry, clock)

    monkeypatch.setattr(eviction, "_worth", counting)
    pool = make_pool(2000 * MIB)
    for number in range(4000):
        use(pool, number)
    assert pool.stats().evictions == 2000
    assert looks < 10 * 4000  # a sort at each eviction would look 4,000,000 times


def test_use_is_counted_also_of_models_that_are_gone(make_pool: Callable[..., ModelPool[Model]]) -> None:
    pool = make_pool()
    chance = random.Random(3)
    wanted: dict[PoolKey, int] = {}
    for _ in range(500):
        number = chance.randrange(40)
        use(pool, number)
        wanted[key(number)] = wanted.get(key(number), 0) + 1
    assert dict(pool.take_uses()) == wanted
    assert not pool.take_uses()


@pytest.mark.parametrize("tenants", [1, 2, 50])
def test_nothing_holds_on_to_models_that_are_gone(make_pool: Callable[..., ModelPool[Model]], tenants: int) -> None:
    pool = make_pool()
    seen: list[weakref.ref[Model]] = []

    def load() -> Model:
        model = Model()
        seen.append(weakref.ref(model))
        return model

    for number in range(300):
        pool.release(pool.load(key(number, tenant=f"t{number % tenants}"), load).result())
    pool.close()
    assert [ref for ref in seen if ref() is not None] == []
    order = pool._order
    assert len(order._heap) + sum(map(len, order._heaps.values())) < 4 * (10 + 64)
