"""Copies for a shadow: compared, and dropped when they are in the way."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from modelpool.core.comparisons import Figures
from modelpool.core.errors import ModelUnavailable
from modelpool.inference.observation.comparisons import Comparisons
from modelpool.inference.observation.shadow import MAX_WAITING, Copy, Shadows, compare
from modelpool.inference.resolution.traffic import TrafficPlan
from modelpool.registry.traffic_rules import Share, TrafficRule
from tests.inference.resolution.test_traffic_plan import MODEL, RULE, route_to

OTHER_RULE = "00000000-0000-0000-0000-00000000000b"


def plan_of(rule_id: str = RULE, *, percent: float = 100) -> TrafficPlan:
    rule = TrafficRule(id=rule_id, shadow=Share(2, percent))
    rest = route_to(1, "active", rule)
    return TrafficPlan(rule, model_id=MODEL, branches=(), rest=rest, shadow=route_to(2, "shadow", rule))


def offer(shadows: Shadows, plan: TrafficPlan, answer: bytes = b'{"predictions":[1.0]}') -> None:
    route = plan.choose({})
    shadows.offer(plan, route, body=b"{}", content_type=b"", method=None, answer=answer, seconds=0.001)


def figures_of(comparisons: Comparisons, rule_id: str = RULE) -> Figures:
    found = [figures for about, figures in comparisons.take().items() if str(about.rule) == rule_id]
    return found[0] if found else Figures()


async def until_idle(shadows: Shadows) -> None:
    async with asyncio.timeout(10):
        while shadows._tasks:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.001)


def test_a_shadow_that_hangs_delays_nobody_and_what_comes_on_top_is_dropped():
    comparisons = Comparisons()

    async def main() -> tuple[Figures, Figures]:
        never = asyncio.Event()

        async def ask(copy: Copy) -> bytes:
            if copy.shadow.rule == RULE:
                await never.wait()
            return b'{"predictions":[1.0]}'

        shadows = Shadows(ask, comparisons)
        offer(shadows, plan_of())
        for _ in range(3):
            await asyncio.sleep(0.01)  # the first copy hangs now
        for _ in range(MAX_WAITING + 5):
            offer(shadows, plan_of())
        hung = figures_of(comparisons)
        offer(shadows, plan_of(OTHER_RULE))
        async with asyncio.timeout(10):
            while not (others := figures_of(comparisons, OTHER_RULE)).rows + others.dropped:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        shadows.close()
        for task in list(shadows._tasks):
            task.cancel()
        await until_idle(shadows)
        return hung, others

    hung, others = asyncio.run(main())
    assert hung.dropped == 5
    assert others.requests + others.dropped == 1  # another experiment does not wait for the one that hangs


def test_a_shadow_that_fails_is_counted():
    comparisons = Comparisons()

    async def main() -> None:
        async def ask(copy: Copy) -> bytes:
            raise ModelUnavailable("broken") if copy.body else ValueError("crooked")

        shadows = Shadows(ask, comparisons)
        offer(shadows, plan_of())
        await until_idle(shadows)

    asyncio.run(main())
    figures = figures_of(comparisons)
    assert figures.errors + figures.dropped == 1
    assert figures.rows == 0


def test_a_percentage_of_zero_copies_nothing():
    comparisons = Comparisons()
    shadows = Shadows(lambda copy: pytest.fail("asked"), comparisons)
    offer(shadows, plan_of(percent=0))
    assert comparisons.take() == {}


def copy_of(answer: bytes, *, dtype: str = "float64") -> Copy:
    route = plan_of().choose({})
    spec = msgspec.structs.replace(route.signature.outputs[0], dtype=dtype)
    signature = msgspec.structs.replace(route.signature, outputs=(spec,))
    route = msgspec.structs.replace(route, signature=signature)
    return Copy(route, route, b"{}", b"", None, answer, 0.001)


def test_numbers_have_a_distance():
    figures = Figures()
    compare(copy_of(b'{"predictions":[1.0,2.0,null,4.0]}'), b'{"predictions":[1.0,2.5,null,null]}', figures)
    assert (figures.rows, figures.differing, figures.values) == (4, 2, 2)
    assert (figures.difference_sum, figures.difference_max) == (0.5, 0.5)


@pytest.mark.parametrize("other", ['["a","b"]', '[{"a":1},{"a":1}]', "[[1.0],[1.0,2.0]]", "[[[1.0]],[[2.0]]]", "[9.9]"])
def test_what_has_no_distance_differs_in_every_row(other: str):
    figures = Figures()
    compare(copy_of(b'{"predictions":[1.0,2.0]}'), b'{"predictions":%b}' % other.encode(), figures)
    assert (figures.rows, figures.differing, figures.values) == (2, 2, 0)


def test_labels_differ_or_do_not_and_probabilities_have_a_distance():
    figures = Figures()
    main = b'{"predictions":["yes","no"],"probabilities":[[0.0,1.0],[1.0,0.0]]}'
    other = b'{"predictions":["yes","yes"],"probabilities":[[0.0,1.0],[0.25,0.75]]}'
    compare(copy_of(main, dtype="string"), other, figures)
    assert (figures.rows, figures.differing, figures.values) == (2, 1, 4)
    assert (figures.difference_sum, figures.difference_max) == (1.5, 0.75)
