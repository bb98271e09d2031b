"""Real models behind a real data plane: what is slow delays nobody else, what fails is given up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modelpool import conf
from modelpool.core.runtime.process.isolated_model import IsolatedModel
from modelpool.inference.data_plane import DataPlane
from modelpool.registry.models import ModelVersion
from modelpool.tenants.models import Tenant
from tests.waiting import wait_until

UPLOADED = ModelVersion.Trust.UPLOADED_DATA
BODY = b'{"instances": [[1, 1, 1]]}'
JSON = b"application/json"


async def ask(plane: DataPlane, model: str, *rows: list[float], body: bytes | None = None) -> bytes:
    route = await plane.load_route(("acme", model, None))
    entry = plane.pool.pin(route.key) or await plane.load_entry(route)
    sent = body or b'{"instances": %b}' % repr(list(rows) or [[1, 1, 1]]).encode()
    answer = plane.answer(entry, sent, content_type=JSON)
    return answer if isinstance(answer, bytes) else await answer


def served(plane: DataPlane, model: str) -> Any:
    entry = plane.pool.pin(plane.routes.load(("acme", model, None)).key)
    assert entry is not None
    plane.pool.release(entry)
    wait_until(lambda: not entry.pins, "the model to be done with its last call")
    return entry.item


def test_compiled_models_that_are_quick_run_inline(
    plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant
) -> None:
    register(tenant, "quick", yes_model)
    asyncio.run(ask(plane, "quick"))
    model = served(plane, "quick")
    assert model.inline_rows > 10
    assert model.joins
    assert model.lane is None


def test_requests_while_an_uploaded_model_is_busy_are_joined_and_each_gets_its_own(
    plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant
) -> None:
    register(tenant, "uploaded", yes_model, trust=UPLOADED)
    rows = [[[1, 1, 1]], [[-1, -1, -1], [1, 1, 1]], [[-1, -1, -1]]] * 20

    async def work() -> list[bytes]:
        await ask(plane, "uploaded")
        plane.engine.count_batch = lambda n_rows, waited: batches.append((n_rows, len(waited)))  # type: ignore[method-assign]
        return await asyncio.gather(*(ask(plane, "uploaded", *some) for some in rows))

    batches: list[tuple[int, int]] = []
    answers = asyncio.run(work())
    expected = {1: b'"yes"', -1: b'"no"'}
    for some, answer in zip(rows, answers, strict=True):
        assert b'{"predictions":[%b]' % b",".join(expected[int(row[0])] for row in some) in answer
    assert sum(members for _, members in batches) == 60
    assert len(batches) < 30
    assert served(plane, "uploaded").model.pid


def test_a_model_that_hangs_delays_no_other(
    plane: DataPlane, register: Any, yes_model: bytes, no_model: bytes, tenant: Tenant
) -> None:
    register(tenant, "hangs", yes_model, trust=UPLOADED)
    register(tenant, "works", no_model, trust=UPLOADED)
    register(tenant, "quick", no_model)

    async def work() -> None:
        await asyncio.gather(*(ask(plane, name) for name in ("hangs", "works", "quick")))
        stopped = await asyncio.to_thread(lambda: served(plane, "hangs").model.pid)
        os.kill(stopped, signal.SIGSTOP)
        stuck = [asyncio.ensure_future(ask(plane, "hangs")) for _ in range(60)]
        await asyncio.sleep(0)
        for name in ("works", "quick"):
            answers = await asyncio.wait_for(asyncio.gather(*(ask(plane, name) for _ in range(50))), 20)
            assert all(b'"no"' in answer for answer in answers)
        assert not any(task.done() for task in stuck)
        os.kill(stopped, signal.SIGCONT)
        assert all(b'"yes"' in answer for answer in await asyncio.gather(*stuck))

    asyncio.run(work())


def test_threads_and_loops_share_one_queue(plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant) -> None:
    register(tenant, "uploaded", yes_model, trust=UPLOADED)

    def blocking(_: int) -> bytes:
        return plane.answer_blocking(("acme", "uploaded", None), BODY, content_type=b"application/json")[0]

    expected = b'{"predictions":["yes"],"model":"uploaded","version":1}'
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(blocking, range(40))) == {expected}  # no server: a loop of its own

        async def work() -> None:
            loop = asyncio.get_running_loop()
            calls = [loop.run_in_executor(threads, blocking, at) for at in range(20)]
            assert set(await asyncio.gather(*calls, *(ask(plane, "uploaded") for _ in range(20)))) == {expected}

        asyncio.run(work())
    assert plane.pool.stats().loads == 1
    served(plane, "uploaded")


def test_long_bodies_and_no_rows_are_answered(
    plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant
) -> None:
    register(tenant, "uploaded", yes_model, trust=UPLOADED)
    body = b'{"instances": [%b]}' % b",".join([b"[1, 1, 1]"] * 20_000)

    async def work() -> None:
        assert (await ask(plane, "uploaded", body=body)).count(b'"yes"') == 20_000
        assert b'"predictions":[]' in await ask(plane, "uploaded", body=b'{"instances": []}')
        assert b'"yes"' in await ask(plane, "uploaded")

    asyncio.run(work())
    served(plane, "uploaded")


def test_a_caller_that_leaves_gives_its_pin_back(
    plane: DataPlane, register: Any, yes_model: bytes, tenant: Tenant
) -> None:
    register(tenant, "uploaded", yes_model, trust=UPLOADED)

    async def work() -> None:
        await ask(plane, "uploaded")
        tasks = [asyncio.ensure_future(ask(plane, "uploaded")) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[1::2]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(answer, asyncio.CancelledError) for answer in found) == 5
        assert all(b"yes" in answer for answer in found[::2])  # type: ignore[operator]

    asyncio.run(work())
    served(plane, "uploaded")


def test_a_version_that_keeps_crashing_is_put_into_quarantine(
    register: Any, yes_model: bytes, tenant: Tenant, caller: Any, make_key: Callable[..., str]
) -> None:
    plane: DataPlane = caller.lane._plane
    key = make_key("predictor")
    version = register(tenant, "crashes", yes_model, trust=UPLOADED)
    assert caller.predict("acme/crashes", key=key).status_code == 200
    model = served(plane, "crashes").model
    assert isinstance(model, IsolatedModel)
    for _ in range(conf.ServingSettings().fault_limit):
        model.child_failed("crashed (SIGSEGV)")
    response = caller.predict("acme/crashes", key=key)
    assert response.status_code == 503
    assert "SIGSEGV" in response.json()["detail"]
    assert int(response.headers["retry-after"]) >= 1
    wait_until(lambda: ModelVersion.unscoped.get(pk=version.pk).quarantined_at, "the registry to know")
    version.refresh_from_db()
    assert "SIGSEGV" in version.quarantine_reason
