"""The algorithms that the tabular trainers know: their names, what each takes, and how it is built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm.

    ``takes`` are the hyperparameters that may be given, ``defaults`` what we set otherwise (scikit-learn's own where
    nothing is said), ``renamed`` the estimator's names where ours differ. ``is_scaled`` algorithms get columns of zero
    mean and unit variance; ``takes_missing`` ones get NaN as it is; ``is_seeded`` ones draw random numbers.
    """

    name: str
    module: str
    class_name: str
    takes: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    is_scaled: bool = False
    takes_missing: bool = False
    is_seeded: bool = False

    def build(self, options: Mapping[str, Any], *, seed: int) -> Any:
        """Return the unfitted estimator with ``options`` (names in ``takes``); deterministic by ``seed``."""
        estimator = getattr(import_module(self.module), self.class_name)
        given = {self.renamed.get(name, name): value for name, value in options.items()}
        seeded = {"random_state": seed} if self.is_seeded else {}
        return estimator(**{**self.defaults, **seeded, **given})


_TREE = ("max_depth", "min_samples_leaf", "max_leaf_nodes")
_FOREST = ("n_estimators", "max_features", *_TREE)
_BOOSTED = ("n_estimators", "learning_rate", "subsample", "max_features", *_TREE)
_HISTOGRAM = ("n_estimators", "learning_rate", "l2_regularization", "max_features", *_TREE)
_ONE_JOB = MappingProxyType({"n_jobs": 1})
_AS_ITERATIONS = MappingProxyType({"n_estimators": "max_iter"})


def _index(*algorithms: Algorithm) -> Mapping[str, Algorithm]:
    return MappingProxyType({algorithm.name: algorithm for algorithm in algorithms})


def _forest(name: str, class_name: str, *, extra: tuple[str, ...], aliases: tuple[str, ...]) -> Algorithm:
    return Algorithm(
        name, "sklearn.ensemble", class_name, (*_FOREST, *extra), aliases=aliases, defaults=_ONE_JOB, is_seeded=True
    )


CLASSIFIERS = _index(
    Algorithm(
        "logistic_regression", "sklearn.linear_model", "LogisticRegression", ("C", "class_weight", "max_iter"),
        aliases=("logistic", "logreg", "linear"), defaults={"max_iter": 1000}, is_scaled=True,
    ),
    _forest("random_forest", "RandomForestClassifier", extra=("class_weight",), aliases=("rf", "forest")),
    _forest("extra_trees", "ExtraTreesClassifier", extra=("class_weight",), aliases=("et",)),
    Algorithm(
        "gradient_boosting", "sklearn.ensemble", "GradientBoostingClassifier", _BOOSTED, aliases=("gb", "gbm", "gbdt"),
        is_seeded=True,
    ),
    Algorithm(
        "hist_gradient_boosting", "sklearn.ensemble", "HistGradientBoostingClassifier", (*_HISTOGRAM, "class_weight"),
        aliases=("hgb", "histgb"), renamed=_AS_ITERATIONS, takes_missing=True, is_seeded=True,
    ),
    Algorithm(
        "k_nearest_neighbors", "sklearn.neighbors", "KNeighborsClassifier", ("n_neighbors", "weights"),
        aliases=("knn", "k_neighbors", "nearest_neighbors"), defaults=_ONE_JOB, is_scaled=True,
    ),
    Algorithm(
        "svm", "sklearn.svm", "SVC", ("C", "kernel", "gamma", "class_weight", "max_iter"), aliases=("svc",),
        is_scaled=True,
    ),
    Algorithm(
        "naive_bayes", "sklearn.naive_bayes", "GaussianNB", ("var_smoothing",), aliases=("nb", "bayes"), is_scaled=True
    ),
)  # fmt: skip

REGRESSORS = _index(
    Algorithm(
        "linear_regression", "sklearn.linear_model", "LinearRegression", (), aliases=("linear", "ols"), is_scaled=True
    ),
    Algorithm("ridge", "sklearn.linear_model", "Ridge", ("alpha",), is_scaled=True),
    Algorithm(
        "lasso", "sklearn.linear_model", "Lasso", ("alpha", "max_iter"), defaults={"max_iter": 10_000}, is_scaled=True
    ),
    Algorithm(
        "elastic_net", "sklearn.linear_model", "ElasticNet", ("alpha", "l1_ratio", "max_iter"), aliases=("elasticnet",),
        defaults={"max_iter": 10_000}, is_scaled=True,
    ),
    _forest("random_forest", "RandomForestRegressor", extra=(), aliases=("rf", "forest")),
    _forest("extra_trees", "ExtraTreesRegressor", extra=(), aliases=("et",)),
    Algorithm(
        "gradient_boosting", "sklearn.ensemble", "GradientBoostingRegressor", _BOOSTED, aliases=("gb", "gbm", "gbdt"),
        is_seeded=True,
    ),
    Algorithm(
        "hist_gradient_boosting", "sklearn.ensemble", "HistGradientBoostingRegressor", _HISTOGRAM,
        aliases=("hgb", "histgb"), renamed=_AS_ITERATIONS, takes_missing=True, is_seeded=True,
    ),
    Algorithm(
        "k_nearest_neighbors", "sklearn.neighbors", "KNeighborsRegressor", ("n_neighbors", "weights"),
        aliases=("knn", "k_neighbors", "nearest_neighbors"), defaults=_ONE_JOB, is_scaled=True,
    ),
    Algorithm(
        "svm", "sklearn.svm", "SVR", ("C", "kernel", "gamma", "epsilon", "max_iter"), aliases=("svr",),
        is_scaled=True,
    ),
)  # fmt: skip


def find_algorithm(name: str, *, among: Mapping[str, Algorithm]) -> Algorithm:
    """Return the algorithm of that name, alias or scikit-learn class name; ``ValueError`` lists the names there are."""
    wanted = _plain(name)
    for algorithm in among.values():
        if wanted in map(_plain, (algorithm.name, algorithm.class_name, *algorithm.aliases)):
            return algorithm
    close = get_close_matches(name.lower(), among, n=1)
    advice = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"there is no algorithm {name!r}; {advice}there are {', '.join(among)}")


def check_options(given: Mapping[str, Any], *, algorithm: Algorithm, among: Mapping[str, Algorithm]) -> None:
    """Raise ``ValueError`` for a hyperparameter that ``algorithm`` does not take, naming those that take it."""
    for name in given:
        if name not in algorithm.takes:
            takers = ", ".join(other.name for other in among.values() if name in other.takes)
            takes = ", ".join(algorithm.takes) or "no hyperparameters"
            raise ValueError(f"{algorithm.name} does not take {name!r} ({takers} do); it takes {takes}")


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()
