"""Two hundred models through a budget for a few of them, and deletions: bytes are bounded, answers right."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from django.db import connection

from modelpool import conf
from modelpool.core.errors import ModelNotFound, NotFound
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.inference.data_plane import DataPlane
from modelpool.registry.services import delete_model, get_model
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from tests.fixtures.onnx_files import adds

MODELS, DELETED = 200, 40
BUDGET = 2 * 2**20
SIGNATURE = ModelSignature(inputs=(TensorSpec("x", "float32"),), outputs=(TensorSpec("predict", "float32"),))


class Askers:
    """Threads that ask for models and check every answer, while another one deletes some."""

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane
        self.gone: set[int] = set()
        self.held: list[int] = []

    def ask(self, number: int) -> None:
        route = ("acme", f"adds-{number}", None)
        body = b'{"instances": [[0.5]]}'
        try:
            answer = self.plane.answer_blocking(route, body, content_type=b"application/json")[0]
        except NotFound:
            assert number in self.gone
            return
        assert msgspec.json.decode(answer)["predictions"] == [number + 0.5]
        self.held.append(self.plane.pool.stats().held_bytes)

    def cycle(self, seed: int) -> None:
        chance = random.Random(seed)
        try:
            for step in range(MODELS):
                self.ask(step if seed == 0 else chance.randrange(MODELS))
        finally:
            connection.close()

    def delete(self, tenant: Tenant, actor: Actor) -> None:
        try:
            for number in range(0, MODELS, MODELS // DELETED):
                self.gone.add(number)
                delete_model(get_model(tenant, f"adds-{number}"), actor=actor)
        finally:
            connection.close()


@pytest.mark.slow
def test_every_answer_is_right_and_no_byte_too_many_is_held(
    register: Callable[..., Any], tenant: Tenant, actor: Actor
) -> None:
    for number in range(MODELS):
        register(tenant, f"adds-{number}", adds(number), signature=SIGNATURE)
    plane = DataPlane(conf.ServingSettings(preload=(), memory_budget=conf.Size(BUDGET)))
    plane.start()
    askers = Askers(plane)
    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(askers.cycle, seed) for seed in range(3)]
        for future in [*work, threads.submit(askers.delete, tenant, actor)]:
            future.result(60)
    stats = plane.pool.stats()
    assert stats.evictions > MODELS // 2
    assert max(askers.held) <= BUDGET * 1.125 + 3 * 120_000  # the reserve of loads, and what three threads hold
    assert stats.held_bytes <= BUDGET
    assert stats.held_bytes == sum(plane.pool.sizes().values())
    assert len(askers.gone) == DELETED
    for number in askers.gone:
        with pytest.raises(ModelNotFound):
            plane.routes.load(("acme", f"adds-{number}", None))
    plane.close()
