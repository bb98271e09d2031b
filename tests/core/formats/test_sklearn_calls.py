"""What is computed once, or in a shorter loop, is what scikit-learn gives when it is asked for each output alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import parallel

from modelpool.core.formats.sklearn_calls import EstimatorCalls
from modelpool.core.formats.sklearn_serial import run_serially
from tests.core.compile.families import CLASSIFIERS, REGRESSORS, labels_of, pipeline, score_of, table
from tests.core.formats.test_sklearn import OTHERS

BOTH = ("predict", "predict_proba")


@pytest.fixture
def serial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel.Parallel, "__call__", parallel.Parallel.__call__)
    run_serially()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often forests are asked, and scalers."""
    found: Counter[str] = Counter()

    def count(kind: Any, name: str) -> None:
        own = getattr(kind, name)

        def counted(self: Any, *given: Any, **named: Any) -> Any:
            found[name] += 1
            return own(self, *given, **named)

        monkeypatch.setattr(kind, name, counted)

    count(RandomForestClassifier, "predict_proba")
    count(StandardScaler, "transform")
    return found


def _matrix() -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    return rows, (rows[:, 0] + rows[:, 1] ** 2 > 0.5).astype(int)


def _fitted(name: str) -> tuple[Any, Any]:
    if name in OTHERS:
        rows, target = _matrix()
        return OTHERS[name]().fit(rows, target), rows
    frame = table(60)
    kind, _, family = name.partition(" ")
    if kind == "regression":
        return pipeline(REGRESSORS[family]()).fit(frame, score_of(frame)), frame
    return pipeline(CLASSIFIERS[family]()).fit(frame, labels_of(frame, "text")), frame


ALL = [*(f"classification {name}" for name in CLASSIFIERS), *(f"regression {name}" for name in REGRESSORS), *OTHERS]


@pytest.mark.parametrize("name", ALL)
def test_answers_are_bit_by_bit_those_of_each_method_alone(name: str, request: pytest.FixtureRequest) -> None:
    model, rows = _fitted(name)
    outputs = BOTH if hasattr(model, "predict_proba") else BOTH[:1]
    expected = {output: getattr(model, output)(rows) for output in outputs}
    before = set(vars(model))
    request.getfixturevalue("serial")
    for asked in (outputs, outputs[::-1]):
        found = EstimatorCalls(model).ask(rows, asked)
        assert tuple(found) == asked
        for output in asked:
            np.testing.assert_array_equal(found[output], expected[output], strict=True)
    assert set(vars(model)) == before


def test_both_outputs_of_a_forest_ask_its_trees_and_the_steps_before_once(counts: Counter[str]) -> None:
    rows, target = _matrix()
    steps = [("scale", StandardScaler()), ("nothing", "passthrough"), ("forest", RandomForestClassifier(5))]
    model = Pipeline(steps).fit(rows, target)
    counts.clear()
    EstimatorCalls(model).ask(rows, BOTH)
    assert counts == {"predict_proba": 1, "transform": 1}
    EstimatorCalls(model).ask(rows, BOTH[:1])
    assert counts == {"predict_proba": 2, "transform": 2}


def test_an_estimator_that_fails_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, target = _matrix()
    forest = RandomForestClassifier(3).fit(rows, target)
    before = dict(vars(forest))
    monkeypatch.setattr(RandomForestClassifier, "predict", lambda *_: 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        EstimatorCalls(forest).ask(rows, BOTH)
    assert vars(forest) == before


def test_probabilities_of_other_rows_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, target = _matrix()
    forest = RandomForestClassifier(5, random_state=0).fit(rows, target)
    expected = forest.predict_proba(rows[:7])
    monkeypatch.setattr(RandomForestClassifier, "predict", lambda self, asked: self.predict_proba(asked[:7]))
    np.testing.assert_array_equal(EstimatorCalls(forest).ask(rows, BOTH)["predict"], expected)


@pytest.mark.usefixtures("serial")
def test_functions_run_in_order_in_this_thread_with_its_configuration() -> None:
    seen: list[Any] = []

    def work(number: int, *, more: int) -> int:
        seen.append((number, sklearn.get_config()["assume_finite"]))
        return number + more

    with sklearn.config_context(assume_finite=True):
        found = parallel.Parallel(n_jobs=1)(parallel.delayed(work)(number, more=10) for number in range(3))
    assert found == [10, 11, 12]
    assert seen == [(0, True), (1, True), (2, True)]


@pytest.mark.slow
@pytest.mark.usefixtures("serial")
def test_several_jobs_are_left_to_joblib() -> None:
    tasks = (parallel.delayed(abs)(-number) for number in range(4))
    assert parallel.Parallel(n_jobs=2, prefer="threads")(tasks) == [0, 1, 2, 3]
    run_serially()
    rows, target = _matrix()
    voting = VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], n_jobs=2).fit(rows, target)
    assert voting.predict(rows).shape == (60,)


@pytest.mark.usefixtures("serial")
def test_an_error_of_one_function_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        parallel.Parallel(n_jobs=1)(parallel.delayed(divmod)(1, number) for number in (1, 0))
