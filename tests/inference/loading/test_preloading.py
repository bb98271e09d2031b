"""Loading at the start: in parallel, up to a bound, and not for ever."""

from __future__ import annotations

import threading

from modelpool.core.errors import ModelUnavailable
from modelpool.core.runtime.memory import LoadMeter, allocated_bytes
from modelpool.core.runtime.pool import ModelPool, PoolKey
from modelpool.inference.loading.preloading import THREADS, Preloading
from modelpool.inference.loading.upkeep import PoolMeter, Upkeep
from modelpool.inference.resolution.lookup import RouteKey
from tests.waiting import wait_until

MIB = 2**20


def keys(count: int) -> list[RouteKey]:
    return [("acme", f"m{number}", None) for number in range(count)]


def test_several_are_loaded_at_the_same_time() -> None:
    together = threading.Barrier(THREADS)
    loaded: list[RouteKey] = []

    def load(key: RouteKey) -> None:
        together.wait(5)
        loaded.append(key)

    preloading = Preloading(lambda: keys(THREADS), load, is_full=lambda: False, deadline_s=60)
    assert not preloading.is_done
    preloading.start()
    wait_until(lambda: preloading.is_done)
    assert sorted(loaded) == keys(THREADS)


def test_one_that_cannot_be_loaded_keeps_no_other_out() -> None:
    loaded: list[RouteKey] = []

    def load(key: RouteKey) -> None:
        if key[1] == "m0":
            raise ModelUnavailable("broken")
        if key[1] == "m1":
            raise RuntimeError("unexpected")
        loaded.append(key)

    preloading = Preloading(lambda: keys(20), load, is_full=lambda: False, deadline_s=60)
    preloading.start()
    wait_until(lambda: preloading.is_done)
    assert sorted(loaded) == sorted(keys(20)[2:])


def test_it_ends_when_memory_is_full() -> None:
    loaded: list[RouteKey] = []
    preloading = Preloading(lambda: keys(100), loaded.append, is_full=lambda: len(loaded) >= 10, deadline_s=60)
    preloading.start()
    wait_until(lambda: preloading.is_done)
    assert 10 <= len(loaded) < 10 + THREADS


def test_nobody_waits_longer_than_the_deadline_and_loading_goes_on() -> None:
    go, loaded = threading.Event(), []

    def load(key: RouteKey) -> None:
        go.wait(10)
        loaded.append(key)

    preloading = Preloading(lambda: keys(8), load, is_full=lambda: False, deadline_s=0.05)
    preloading.start()
    wait_until(lambda: preloading.is_done)
    assert loaded == []
    go.set()
    wait_until(lambda: len(loaded) == 8)
    preloading.stop()


def test_a_stopped_one_begins_no_other_load() -> None:
    go, begun = threading.Event(), []

    def load(key: RouteKey) -> None:
        begun.append(key)
        go.wait(10)

    preloading = Preloading(lambda: keys(100), load, is_full=lambda: False, deadline_s=60)
    preloading.start()
    wait_until(lambda: len(begun) == THREADS)
    threading.Timer(0.05, go.set).start()
    preloading.stop()
    assert len(begun) == THREADS


class Model:
    runs_inline = True

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    def measure(self) -> None:
        """It does not change."""

    def close(self) -> None:
        """Nothing is to be given back."""


def test_a_process_that_grew_by_more_than_its_models_holds_fewer() -> None:
    pool: ModelPool[Model] = ModelPool(100 * MIB)
    upkeep = Upkeep(pool, 100 * MIB, meter=PoolMeter())
    for number in range(100):
        with pool.use(PoolKey("t", "m", number), lambda: Model(MIB)):
            pass
    upkeep.adjust(102 * MIB)
    assert pool.stats().held_bytes == 100 * MIB
    upkeep.adjust(132 * MIB)
    assert pool.stats().held_bytes == 70 * MIB
    upkeep.adjust(900 * MIB)
    assert pool.stats().held_bytes == 50 * MIB
    pool.close()


def test_loads_are_measured_by_what_they_allocate() -> None:
    meter = LoadMeter()
    for _ in range(4):
        assert meter.measure(lambda: None, said=lambda _: 4 * MIB) == (None, 4 * MIB)
    data, size = meter.measure(lambda: bytearray(8 * MIB), said=lambda _: 4 * MIB)
    assert allocated_bytes() is not None
    assert abs(size - 8 * MIB) < MIB
    assert 1 < meter.ratio < 2
    _, estimated = meter.measure(lambda: bytearray(8), said=lambda _: 4 * MIB)
    assert estimated == int(4 * MIB * meter.ratio)  # the next one right after is not measured
    assert len(data) == 8 * MIB
