"""Who answers under a rule: by lot or by header, counted exactly."""

from __future__ import annotations

import math
import random
from collections import Counter
from uuid import UUID

import pytest

from modelpool.core.comparisons import Figures, bucket_of, count_in, quantile
from modelpool.core.errors import InvalidField
from modelpool.core.runtime.pool import PoolKey
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.inference.resolution.lookup import Route, as_variant
from modelpool.inference.resolution.traffic import TrafficPlan
from modelpool.registry.traffic_rules import Share, TrafficRule, check_compatible, check_rule

MODEL = UUID(int=7)
RULE = "00000000-0000-0000-0000-000000000009"
SIGNATURE = ModelSignature(inputs=(TensorSpec("x", "float64"),), outputs=(TensorSpec("predict", "float64"),))
CALLERS = [b"customer-%d" % number for number in range(10_000)]


def route_to(number: int, variant: str, rule: TrafficRule) -> Route:
    route = Route(
        key=PoolKey(UUID(int=1), MODEL, UUID(int=number)),
        tenant="acme",
        model="churn",
        number=number,
        signature=SIGNATURE,
        format="onnx",
        runs_inline=True,
        artifact_id=UUID(int=number),
        store="files",
        size_bytes=1,
        sha256="",
    )
    return as_variant(route, variant, rule=rule)


def canary(percent: float, *, rule_id: str = RULE) -> TrafficPlan:
    rule = TrafficRule(id=rule_id, canary=Share(2, percent))
    branches = ((percent / 100, route_to(2, "canary", rule)),)
    return TrafficPlan(rule, model_id=MODEL, branches=branches, rest=route_to(1, "active", rule))


def sticky(value: bytes) -> dict[bytes, bytes]:
    return {b"x-modelpool-sticky": value}


def takers(plan: TrafficPlan) -> set[bytes]:
    return {value for value in CALLERS if plan.choose(sticky(value)).number == 2}


def test_the_same_value_always_gets_the_same_version():
    first, again = canary(30), canary(30)
    assert takers(first) == takers(again)
    taken = len(takers(first))
    assert taken == 3041  # of this hash: with another one callers would change sides at an upgrade


def test_a_growing_canary_takes_callers_and_gives_none_back():
    before: set[bytes] = set()
    for percent in (0, 0.5, 1, 5, 20, 50, 99.9, 100):
        now = takers(canary(percent))
        assert before <= now
        assert abs(len(now) - 100 * percent) <= 4 * math.sqrt(10_000 * 0.25)
        before = now
    assert before == set(CALLERS)
    assert takers(canary(0)) == set()


def test_another_rule_begins_with_other_callers():
    one, other = takers(canary(10)), takers(canary(10, rule_id="00000000-0000-0000-0000-00000000000a"))
    assert len(one & other) < len(one) / 4


@pytest.mark.parametrize("percent", [0, 0.5, 10, 50, 100])
def test_without_the_header_it_is_a_lot(percent: float):
    random.seed(20)
    plan, share = canary(percent), percent / 100
    hits = sum(plan.choose({}).number == 2 for _ in range(10_000))
    assert abs(hits - 10_000 * share) <= 4 * math.sqrt(10_000 * share * (1 - share))


def test_a_split_names_everyone_who_answers():
    random.seed(21)
    rule = TrafficRule(id=RULE, split=(Share(2, 20), Share(3, 30), Share(4, 50)))
    last = route_to(4, "c", rule)
    branches = ((0.2, route_to(2, "a", rule)), (0.5, route_to(3, "b", rule)), (math.inf, last))
    plan = TrafficPlan(rule, model_id=MODEL, branches=branches, rest=last)
    counts = Counter(plan.choose({}).variant for _ in range(10_000))
    for variant, share in (("a", 0.2), ("b", 0.3), ("c", 0.5)):
        assert abs(counts[variant] - 10_000 * share) <= 4 * math.sqrt(10_000 * share * (1 - share))


def test_the_answer_says_who_gave_it():
    assert canary(100).choose({}).headers == ((b"x-modelpool-version", b"2"), (b"x-modelpool-variant", b"canary"))


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (TrafficRule(), "canary"),
        (TrafficRule(canary=Share(2, 101)), "canary.percent"),
        (TrafficRule(canary=Share(2, math.nan)), "canary.percent"),
        (TrafficRule(canary=Share(1, 10)), "canary.version"),
        (TrafficRule(shadow=Share(1, 10)), "shadow.version"),
        (TrafficRule(canary=Share(2, 1), shadow=Share(2, 10)), "shadow.version"),
        (TrafficRule(canary=Share(2, 1), split=(Share(2, 50), Share(3, 50))), "split"),
        (TrafficRule(split=(Share(2, 50), Share(3, 49))), "split"),
        (TrafficRule(split=(Share(2, 100),)), "split"),
        (TrafficRule(split=(Share(2, 50), Share(2, 50))), "split[1].version"),
        (TrafficRule(canary=Share(2, 1), sticky_header="a b"), "sticky_header"),
        (TrafficRule(canary=Share(2, 1), sticky_header="Authorization"), "sticky_header"),
    ],
)
def test_what_contradicts_itself_is_named(rule: TrafficRule, field: str):
    with pytest.raises(InvalidField) as refused:
        check_rule(rule, active=1)
    assert refused.value.errors[0].field == field


def test_only_a_version_that_takes_the_same_requests_is_compatible():
    def inputs(*specs: TensorSpec, outputs: tuple[TensorSpec, ...] = SIGNATURE.outputs) -> ModelSignature:
        return ModelSignature(inputs=specs, outputs=outputs)

    x = TensorSpec("x", "float64")
    check_compatible(SIGNATURE, inputs(x, TensorSpec("y", "float64", nullable=True)), field="f")
    check_compatible(inputs(TensorSpec("x", "int32")), SIGNATURE, field="f")
    proba = (*SIGNATURE.outputs, TensorSpec("predict_proba", "float64", (-1, 2)))
    check_compatible(SIGNATURE, inputs(x, outputs=proba), field="f")
    for other, what in (
        (inputs(TensorSpec("z", "float64")), "'x' is unknown"),
        (inputs(TensorSpec("x", "string")), "is string there"),
        (inputs(x, TensorSpec("y", "float64")), "also needs the input 'y'"),
        (inputs(TensorSpec("x", "float64", (-1, 3))), "shape"),
    ):
        with pytest.raises(InvalidField, match=what):
            check_compatible(SIGNATURE, other, field="f")
    with pytest.raises(InvalidField, match="may not be missing"):
        check_compatible(inputs(TensorSpec("x", "float64", nullable=True)), SIGNATURE, field="f")
    with pytest.raises(InvalidField, match="no method 'predict_proba'"):
        check_compatible(inputs(x, outputs=proba), SIGNATURE, field="f")


def test_an_experiment_ends_where_its_version_becomes_active():
    rule = TrafficRule(id=RULE, canary=Share(2, 10), shadow=Share(3, 100))
    assert rule.without(2) == TrafficRule(id=RULE, shadow=Share(3, 100))
    assert rule.without(3) == TrafficRule(id=RULE, canary=Share(2, 10))
    assert TrafficRule(id=RULE, canary=Share(2, 10)).without(2) is None
    split = TrafficRule(id=RULE, split=(Share(1, 50), Share(2, 50)))
    assert split.without(2) == split


def test_quantiles_are_right_to_a_fifth_and_add_up():
    one, two = Figures(), Figures()
    for number in range(1, 1001):
        count_in((one if number % 2 else two).latency, number / 1000)
    one.add(two)
    for share in (0.5, 0.95, 0.99):
        found = quantile(one.latency, share)
        assert found is not None
        assert share / 1.2 <= found <= share * 1.2
    assert quantile({}, 0.5) is None
    assert (bucket_of(0.0), bucket_of(1e9)) == (0, 79)
