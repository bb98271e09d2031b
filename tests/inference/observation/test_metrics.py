"""Predictions are counted per model, with a bounded number of series."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from modelpool.core.metrics import catalogue
from modelpool.core.metrics.admission import NOBODY, OTHER
from modelpool.inference.observation.metrics import Meter, ModelLabels


@dataclass(frozen=True)
class _Route:
    tenant: str
    model: str
    number: int


@pytest.fixture(autouse=True)
def clean():
    for family in (catalogue.PREDICTIONS, catalogue.PREDICTION_SECONDS):
        for labels, _ in family.children():
            family.remove(*labels)


def _counted() -> Counter[tuple[str, ...]]:
    return Counter({labels[:5]: child.values[0] for labels, child in catalogue.PREDICTIONS.children()})


def test_answers_are_counted_by_status_and_only_good_ones_are_timed():
    meter = Meter("v1", ModelLabels())
    route = _Route("acme", "churn", 3)
    for seconds in (0.0001, 0.003, 99.0):
        meter.count(route, 200, seconds)
    meter.count(route, 422, 50.0)
    meter.count(None, 404, 0.1)
    meter.flush()
    meter.flush()
    assert _counted() == {
        ("v1", "200", "acme", "churn", "3"): 3,
        ("v1", "422", "acme", "churn", "3"): 1,
        ("v1", "404", NOBODY, NOBODY, NOBODY): 1,
    }
    ((labels, child),) = catalogue.PREDICTION_SECONDS.children()
    assert labels[:3] == ("acme", "churn", "3")
    assert child.values[0] == pytest.approx(99.0031)
    assert sum(child.values[1:]) == 3
    assert child.values[1] == child.values[4] == child.values[-1] == 1


def test_models_past_the_limit_are_counted_together():
    meter = Meter("v1", ModelLabels(limit=2))
    for at in range(5):
        meter.count(_Route("acme", f"m{at}", 1), 200, 0.1)
        meter.flush()
    assert _counted() == {
        ("v1", "200", "acme", "m0", "1"): 1,
        ("v1", "200", "acme", "m1", "1"): 1,
        ("v1", "200", OTHER, OTHER, OTHER): 3,
    }


def test_versions_of_a_model_are_bounded_and_nothing_counted_is_lost():
    meter = Meter("v1", ModelLabels())
    for number in range(1, 31):
        meter.count(_Route("acme", "churn", number), 200, 0.1)
        meter.flush()
    counted = _counted()
    assert len(counted) == 9
    assert counted["v1", "200", "acme", "churn", OTHER] == 22
    assert counted.total() == 30
    assert sum(sum(child.values[1:]) for _, child in catalogue.PREDICTION_SECONDS.children()) == 30


def test_series_of_a_model_that_left_the_table_go_to_the_others(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr("modelpool.inference.observation.metrics.time.monotonic", lambda: now[0])
    labels = ModelLabels(limit=1, folder=tmp_path)
    labels._admission._clock = lambda: now[0]
    meter = Meter("v1", labels)
    meter.count(_Route("acme", "old", 1), 200, 0.1)
    meter.flush()
    now[0] = 3600.0
    meter.count(_Route("acme", "new", 1), 200, 0.1)
    meter.flush()
    assert _counted() == {("v1", "200", "acme", "new", "1"): 1, ("v1", "200", OTHER, OTHER, OTHER): 1}
