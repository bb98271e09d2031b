"""The parameters of the tabular trainers; msgspec checks the ranges when a job is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from modelpool.core.trainer import TrainerParams
from modelpool.training.trainers.algorithms import CLASSIFIERS, REGRESSORS, Algorithm, check_options, find_algorithm

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]

_SETUP = frozenset({"algorithm", "test_size", "cv_folds", "seed", "drop_columns", "max_categories"})


def _names(algorithms: Mapping[str, Algorithm]) -> dict[str, Any]:
    """Return the JSON Schema of an algorithm's name: the names first, then what else people call them."""
    others = [name for item in algorithms.values() for name in (*item.aliases, item.class_name)]
    return {"anyOf": [{"enum": list(algorithms)}, {"title": "other names", "enum": others}]}


class TabularParams(TrainerParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What both tabular trainers take; a hyperparameter that is ``null`` has the algorithm's default."""

    algorithms: ClassVar[Mapping[str, Algorithm]] = {}

    algorithm: str = "random_forest"
    test_size: Annotated[
        float, Meta(ge=0.05, le=0.5, description="Share of the rows held out to measure the model.")
    ] = 0.2
    cv_folds: Annotated[
        int, Meta(ge=0, le=20, description="Folds of the cross-validation; 0 leaves it out. Lowered for rare classes.")
    ] = 5
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    drop_columns: Annotated[tuple[str, ...], Meta(description="Columns that the model must not use.")] = ()
    max_categories: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Most frequent values of a text column that are told apart; the rest are 'other'.",
        ),
    ] = 50

    n_estimators: Annotated[int, Meta(ge=1, le=5000, description="Number of trees.")] | None = None
    max_depth: Annotated[int, Meta(ge=1, le=1000, description="Levels of a tree.")] | None = None
    min_samples_leaf: Annotated[int, Meta(ge=1, description="Rows in a leaf of a tree, at least.")] | None = None
    max_leaf_nodes: Annotated[int, Meta(ge=2, description="Leaves of a tree, at most.")] | None = None
    max_features: (
        Annotated[float, Meta(gt=0, le=1, description="Share of the features tried at each split.")] | None
    ) = None
    learning_rate: Annotated[float, Meta(gt=0, le=10, description="Weight of each boosted tree.")] | None = None
    subsample: Annotated[float, Meta(gt=0, le=1, description="Share of the rows for each boosted tree.")] | None = None
    l2_regularization: Annotated[float, Meta(ge=0)] | None = None
    C: Annotated[float, Meta(gt=0, description="Inverse strength of the regularisation.")] | None = None
    kernel: Literal["linear", "poly", "rbf", "sigmoid"] | None = None
    gamma: Annotated[float, Meta(gt=0, description="Width of the kernel.")] | None = None
    n_neighbors: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    weights: Literal["uniform", "distance"] | None = None
    max_iter: Annotated[int, Meta(ge=1, le=1_000_000, description="Steps of the solver, at most.")] | None = None

    def __post_init__(self) -> None:
        """Turn an alias into the algorithm's name; ``ValueError`` for a hyperparameter that it does not take."""
        chosen = find_algorithm(self.algorithm, among=self.algorithms)
        msgspec.structs.force_setattr(self, "algorithm", chosen.name)
        check_options(self.options, algorithm=chosen, among=self.algorithms)

    @property
    def chosen(self) -> Algorithm:
        """The algorithm to train."""
        return self.algorithms[self.algorithm]

    @property
    def options(self) -> dict[str, Any]:
        """The hyperparameters that were given."""
        return {
            name: value
            for name, value in msgspec.structs.asdict(self).items()
            if name not in _SETUP and value is not None
        }


class TabularClassifierParams(TabularParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of ``tabular_classifier``."""

    algorithms: ClassVar[Mapping[str, Algorithm]] = CLASSIFIERS

    algorithm: Annotated[
        str,
        Meta(
            description="The algorithm; short names such as 'knn' do as well.",
            extra_json_schema=_names(CLASSIFIERS),
        ),
    ] = "random_forest"
    class_weight: Annotated[
        Literal["balanced"], Meta(description="'balanced' gives rare classes as much weight as frequent ones.")
    ] | None = None  # fmt: skip
    var_smoothing: Positive | None = None


class TabularRegressorParams(TabularParams, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of ``tabular_regressor``."""

    algorithms: ClassVar[Mapping[str, Algorithm]] = REGRESSORS

    algorithm: Annotated[
        str,
        Meta(
            description="The algorithm; short names such as 'rf' do as well.",
            extra_json_schema=_names(REGRESSORS),
        ),
    ] = "random_forest"
    alpha: Annotated[float, Meta(ge=0, description="Strength of the regularisation.")] | None = None
    l1_ratio: Annotated[float, Meta(ge=0, le=1, description="Share of the lasso in the elastic net.")] | None = None
    epsilon: Annotated[float, Meta(ge=0, description="Error that an SVM does not mind.")] | None = None
