from __future__ import annotations

import math
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool.core.errors import InvalidField
from modelpool.core.policies import (
    DEFAULT_POLICY,
    BestMetric,
    Candidate,
    Latest,
    Mode,
    Pinned,
    metric_mode,
    parse_policy,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
NAN = float("nan")


def candidate(
    number: int, metrics: dict[str, float] | None = None, *, primary: str | None = None, mode: Mode = "max"
) -> Candidate:
    return Candidate(number=number, created_at=AT, metrics=metrics or {}, primary_metric=primary, primary_mode=mode)


def by_accuracy(*values: float | None) -> list[Candidate]:
    return [candidate(n, {} if v is None else {"accuracy": v}) for n, v in enumerate(values, start=1)]


# --- pinned and latest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [None, 1, 7])
def test_pinned_never_moves(active: int | None) -> None:
    assert Pinned().choose(by_accuracy(0.1, 0.9), active=active) == active


def test_latest_is_the_highest_number() -> None:
    assert Latest().choose([candidate(2), candidate(10), candidate(9)], active=9) == 10
    assert Latest().choose([], active=3) == 3


# --- best_metric ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "active", "chosen"),
    [
        ([0.5, 0.9, 0.7], None, 2),
        ([0.5, 0.9, 0.7], 2, 2),
        ([0.5, 0.9, 0.7], 1, 2),
        ([0.9, 0.9], 1, 1),  # equal: what is active stays
        ([0.9, 0.9], None, 2),  # equal and none active: the newest
        ([0.5, NAN], 1, 1),
        ([NAN, 0.5], 1, 2),  # the active one has no value: the best of the others
        ([None, 0.5], 1, 2),
        ([0.5, math.inf], 1, 1),
        ([NAN, None], None, None),
        ([NAN, None], 2, 2),
        ([], 5, 5),
        ([0.5], 99, 1),
    ],
)
def test_the_best_by_a_metric(values: list[float | None], active: int | None, chosen: int | None) -> None:
    assert BestMetric(metric="accuracy").choose(by_accuracy(*values), active=active) == chosen


@pytest.mark.parametrize(
    ("old", "new", "minimum", "moves"),
    [(0.8, 0.9, 0.1, True), (0.8, 0.9, 0.1001, False), (0.8, 0.85, 0.1, False), (0.8, 0.8, 0.0, False),
     (0.8, 0.8000001, 0.0, True), (0.1, 0.3, 0.2, True), (0.9, 0.8, 0.0, False)],
)  # fmt: skip
def test_the_minimum_improvement_counts_from_the_active_one(
    old: float, new: float, minimum: float, moves: bool
) -> None:
    up = BestMetric(metric="accuracy", min_improvement=minimum)
    assert up.choose(by_accuracy(old, new), active=1) == (2 if moves else 1)
    down = BestMetric(metric="rmse", min_improvement=minimum)
    pair = [candidate(1, {"rmse": -old}), candidate(2, {"rmse": -new})]
    assert down.choose(pair, active=1) == (2 if moves else 1)


def test_without_a_metric_the_active_versions_own_decides() -> None:
    active = candidate(1, {"accuracy": 0.8, "f1": 0.5}, primary="accuracy")
    better = candidate(2, {"accuracy": 0.9, "f1": 0.1}, primary="f1")
    assert BestMetric().choose([better, active], active=1) == 2
    assert BestMetric().choose([better, active], active=2) == 1


def test_without_a_metric_the_first_that_has_one_is_chosen() -> None:
    upload, trained = candidate(1), candidate(2, {"r2": 0.1}, primary="r2")
    assert BestMetric().choose([upload], active=None) is None
    assert BestMetric().choose([upload, trained], active=None) == 2
    assert BestMetric().choose([upload, trained], active=1) == 2
    assert BestMetric().choose([trained, candidate(3)], active=2) == 2


def test_the_trainers_direction_wins_over_the_name() -> None:
    pair = [candidate(1, {"regret": 3.0}, primary="regret", mode="min"), candidate(2, {"regret": 2.0})]
    assert BestMetric().choose(pair, active=1) == 2
    assert BestMetric(metric="regret").choose(pair, active=1) == 2
    assert BestMetric(metric="regret", mode="max").choose(pair, active=1) == 1


@pytest.mark.parametrize("name", ["log_loss", "rmse", "cv_mae", "mean_squared_error", "test_hinge_loss", "loss",
                                  "max_error", "mean_poisson_deviance", "brier_score", "mae_std"])  # fmt: skip
def test_less_is_better_for_errors_and_losses(name: str) -> None:
    assert metric_mode(name) == "min"


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "roc_auc", "r2", "cv_r2", "neg_mean_squared_error",
                                  "explained_variance", "glossary", "terror"])  # fmt: skip
def test_more_is_better_for_the_rest(name: str) -> None:
    assert metric_mode(name) == "max"


VALUES = st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True)), max_size=8)


@given(VALUES, st.integers(0, 8), st.floats(0, 10), st.sampled_from(["max", "min"]), st.randoms())
def test_what_is_chosen_is_finite_never_worse_and_does_not_depend_on_order(
    values: list[float | None], active: int, minimum: float, mode: Mode, shuffler: random.Random
) -> None:
    candidates = by_accuracy(*values)
    number = active if 1 <= active <= len(values) else None
    policy = BestMetric(metric="accuracy", mode=mode, min_improvement=minimum)
    chosen = policy.choose(candidates, active=number)
    shuffler.shuffle(candidates)
    assert policy.choose(candidates, active=number) == chosen
    if chosen is None or chosen == number:
        return
    value = values[chosen - 1]
    assert value is not None
    assert math.isfinite(value)
    finite = [v for v in values if v is not None and math.isfinite(v)]
    assert value == (max(finite) if mode == "max" else min(finite))
    old = values[number - 1] if number else None
    if old is not None and math.isfinite(old):
        assert (value > old) if mode == "max" else (value < old)


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Pinned(), Latest(), BestMetric(), BestMetric("rmse", "min", 0.5)])
def test_a_policy_survives_being_written_and_read(policy: Pinned | Latest | BestMetric) -> None:
    assert parse_policy(policy.to_dict()).to_dict() == policy.to_dict()


def test_short_forms() -> None:
    assert isinstance(parse_policy("latest"), Latest)
    assert isinstance(parse_policy("pinned"), Pinned)
    assert parse_policy(None) is parse_policy({}) is DEFAULT_POLICY
    assert DEFAULT_POLICY.to_dict() == {"name": "best_metric", "metric": None, "mode": None, "min_improvement": 0}


@pytest.mark.parametrize(
    "form",
    ["newest", 5, [], {"name": "pinned", "metric": "x"}, {"metric": "accuracy"},
     {"name": "best_metric", "mode": "most"},
     {"name": "best_metric", "min_improvement": -1}, {"name": "best_metric", "min_improvement": "much"},
     {"name": "best_metric", "min_improvement": math.inf}, {"name": "best_metric", "min_improvement": NAN},
     {"name": "best_metric", "metric": ""}, {"name": "best_metric", "metric": "x" * 65}],
)  # fmt: skip
def test_what_is_no_policy_is_refused_by_name(form: object) -> None:
    with pytest.raises(InvalidField, match="pinned") as caught:
        parse_policy(form, field="policy")  # type: ignore[arg-type]
    assert caught.value.errors[0].field == "policy"
