"""Estimators whose numbers native code would follow out of bounds are refused when they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KDTree, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from modelpool.core.errors import UnloadableModel, UntrustedFormat
from modelpool.core.formats.sklearn import build_estimator
from modelpool.core.formats.sklearn_check import check_structure

ROWS = np.random.default_rng(0).normal(size=(60, 4))
LABELS = (ROWS[:, 0] > 0).astype(int)


def _fit(model: Any) -> Any:
    return model.fit(ROWS, LABELS)


def _set(model: Any, name: str, value: Any) -> Any:
    setattr(_fit(model), name, value)
    return model


def _without(model: Any, name: str) -> Any:
    delattr(_fit(model), name)
    return model


def _sparse_with_far_index() -> Any:
    model = _fit(LogisticRegression()).sparsify()
    model.coef_.indices[0] = 10**6
    return model


def _random_state(position: int) -> Any:
    state = np.random.RandomState(0)
    _, keys, *_ = state.get_state()
    state.set_state(("MT19937", keys, position))
    return _set(LogisticRegression(), "random_state", state)


def _histogram(change: Callable[[Any], None]) -> Any:
    model = _fit(HistGradientBoostingClassifier(max_iter=2))
    change(model)
    return model


def _far_bits(model: Any) -> None:
    nodes = model._predictors[0][0].nodes
    nodes["is_categorical"][0], nodes["bitset_idx"][0] = 1, 10**6


def _unknown_category(model: Any) -> None:
    predictor = model._predictors[0][0]
    predictor.nodes["is_categorical"][0] = 1
    predictor.raw_left_cat_bitsets = predictor.binned_left_cat_bitsets = np.zeros((1, 8), np.uint32)


def _narrow_columns() -> Any:
    model = _fit(IsolationForest(n_estimators=2, max_features=0.5))
    model._max_features = model.n_features_in_
    return model


def _columns_out_of_range() -> Any:
    model = _fit(IsolationForest(n_estimators=2, max_features=0.5))
    model.estimators_features_[0] = np.array([0, 900])
    return model


CROOKED: dict[str, Callable[[], Any]] = {
    "a forest that names no number of features": lambda: _without(RandomForestClassifier(2), "n_features_in_"),
    "a forest in a pipeline that names none": lambda: make_pipeline(
        StandardScaler(), _without(RandomForestClassifier(2), "n_features_in_")
    ),
    "a tree that names no number of features": lambda: _without(DecisionTreeClassifier(), "n_features_in_"),
    "a number of features that is no integer": lambda: _set(RandomForestClassifier(2), "n_features_in_", 4.0),
    "a number of features that is a truth": lambda: _set(DecisionTreeClassifier(), "n_features_in_", True),
    "a forest of more features": lambda: _set(RandomForestClassifier(2), "n_features_in_", 100),
    "a boosting of fewer features": lambda: _set(GradientBoostingClassifier(n_estimators=2), "n_features_in_", 2),
    "boosting stages that are too few": lambda: _set(
        GradientBoostingClassifier(n_estimators=2), "n_trees_per_iteration_", 9
    ),
    "a function in a method's place": lambda: _set(RandomForestClassifier(2), "_validate_X_predict", np.asarray),
    "an isolation forest of narrower trees": _narrow_columns,
    "an isolation forest of far columns": _columns_out_of_range,
    "cluster centres of another width": lambda: _set(KMeans(2, n_init=1), "cluster_centers_", np.zeros((2, 1))),
    "a sparse matrix with a far index": _sparse_with_far_index,
    "a random state at an impossible position": lambda: _random_state(10**6),
    "a random state at a negative position": lambda: _random_state(-5),
    "categories beyond the table": lambda: _histogram(_far_bits),
    "categories of a column that has none": lambda: _histogram(_unknown_category),
    "an index of neighbours elsewhere": lambda: _set(LogisticRegression(), "helper", KDTree(ROWS)),
    "fewer kept rows than said": lambda: _set(KNeighborsClassifier(3), "n_samples_fit_", 9_000),
    "support vectors counted wrongly": lambda: _set(SVC(), "_n_support", np.array([1, 1, 1], np.int32)),
    "another kind of support vectors": lambda: _set(SVC(), "_impl", "epsilon_svr"),
    "probabilities that are half there": lambda: _set(SVC(), "_probA", np.zeros(5)),
}


@pytest.mark.parametrize("name", CROOKED)
def test_crooked_estimator_is_refused(name: str) -> None:
    model = CROOKED[name]()
    with pytest.raises((UnloadableModel, UntrustedFormat), match=r"inconsistent|broken|loadable|reviewed"):
        build_estimator(skops.io.dumps(model))


@pytest.mark.parametrize("name", CROOKED)
def test_refusal_is_the_structure_s(name: str) -> None:
    """Not by chance the reader's."""
    with pytest.raises(UnloadableModel, match=r"inconsistent|broken sparse"):
        check_structure(CROOKED[name]())


@pytest.mark.parametrize(
    "make",
    [
        lambda: IsolationForest(n_estimators=3),
        lambda: IsolationForest(n_estimators=3, max_features=0.5),
        lambda: KMeans(2, n_init=1),
        lambda: make_pipeline(StandardScaler(), RandomForestClassifier(2, random_state=np.random.RandomState(3))),
        lambda: SVC(kernel="poly"),
    ],
)
def test_sound_estimator_passes(make: Callable[[], Any]) -> None:
    model = _fit(make())
    loaded, _ = build_estimator(skops.io.dumps(model))
    assert loaded.predict(ROWS).tolist() == model.predict(ROWS).tolist()


def test_sparse_coefficients_pass() -> None:
    check_structure(_fit(LogisticRegression()).sparsify())


def test_threads_become_one() -> None:
    model = _set(KMeans(2, n_init=1), "_n_threads", 10**6)
    loaded, _ = build_estimator(skops.io.dumps(model))
    assert loaded._n_threads == 1
