"""What each kind of fitted thing has to fulfil before native code may follow its numbers.

``CHECKS`` are by the name of a type, ``BY_ATTRIBUTE`` by what an estimator has. All raise
:class:`~modelpool.core.errors.UnloadableModel`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from modelpool.core.errors import UnloadableModel

_CATEGORY_WORDS = 8
"""Of 32 bits, in which histogram gradient boosting keeps the 256 categories of a node."""
_MERSENNE_WORDS = 624
_PHILOX_WORDS = 4


def require(condition: Any, what: str) -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise UnloadableModel(f"The scikit-learn model is inconsistent: the {what} do not fit together.")


# --- trees ------------------------------------------------------------------------------------------------------------


def _check_tree(tree: Any, n_features: int | None) -> None:
    state = tree.__getstate__()
    nodes, count = state["nodes"], int(state["node_count"])
    require(count == len(nodes) >= 1 and len(state["values"]) == count, "sizes of a tree")
    require(n_features is not None and tree.n_features == n_features, "features of a tree")
    require(tree.n_outputs >= 1 and tree.max_n_classes >= 1, "outputs of a tree")
    left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
    is_leaf = left == -1
    require(np.array_equal(is_leaf, right == -1), "leaves of a tree")
    _check_children(left, right, is_leaf)
    require(((feature >= 0) & (feature < tree.n_features))[~is_leaf].all(), "features of a tree")


def _check_children(left: np.ndarray, right: np.ndarray, is_leaf: np.ndarray) -> None:
    """Children come after their parent, so that every walk ends."""
    index = np.arange(len(left))
    for child in (left.astype(np.int64), right.astype(np.int64)):
        require(((child > index) & (child < len(left)))[~is_leaf].all(), "children of a tree")


def _check_histogram_tree(predictor: Any, n_features: int | None) -> None:
    nodes = predictor.nodes
    require(isinstance(nodes, np.ndarray) and nodes.ndim == 1 and len(nodes) >= 1, "sizes of a tree")
    is_leaf = nodes["is_leaf"].astype(bool)
    _check_children(nodes["left"], nodes["right"], is_leaf)
    require(n_features is not None, "features of a tree")
    feature = nodes["feature_idx"]
    require(((feature >= 0) & (feature < n_features))[~is_leaf].all(), "features of a tree")
    categorical = nodes["is_categorical"].astype(bool) & ~is_leaf
    for bits in (predictor.raw_left_cat_bitsets, predictor.binned_left_cat_bitsets):
        require(bits.ndim == 2 and bits.shape[1] == _CATEGORY_WORDS, "categories of a tree")
        require((nodes["bitset_idx"][categorical] < len(bits)).all(), "categories of a tree")


def _check_histogram_boosting(model: Any) -> None:
    """Its trees look up categories by the mapper of bins, and rows must reach them as they came."""
    require(getattr(model, "_preprocessor", None) is None, "columns of categories")
    categorical = np.asarray(model._bin_mapper.is_categorical_)
    require(categorical.shape == (_features_of(model),), "columns of categories")
    for stage in model._predictors:
        require(len(stage) == model.n_trees_per_iteration_, "boosting stages")
        for predictor in stage:
            nodes = predictor.nodes
            used = nodes["feature_idx"][nodes["is_categorical"].astype(bool) & ~nodes["is_leaf"].astype(bool)]
            require((used < len(categorical)).all() and categorical[used].all(), "columns of categories")


def _check_estimators(model: Any) -> None:
    """Forests and boosting give rows to their trees unchecked; isolation forests some of the columns."""
    if hasattr(model, "n_trees_per_iteration_") and type(model).__module__ == "sklearn.ensemble._gb":
        stages = np.asarray(model.estimators_, dtype=object)
        require(stages.ndim == 2 and stages.shape[1] == model.n_trees_per_iteration_, "boosting stages")
    if type(model).__module__.startswith(("sklearn.ensemble._forest", "sklearn.ensemble._gb")):
        _features_of(model)
        require(len(model.estimators_) >= 1, "trees of a forest")
    if type(model).__name__ == "IsolationForest":
        _check_isolation_forest(model)


def _check_isolation_forest(model: Any) -> None:
    n_features = _features_of(model)
    require(len(model.estimators_) == len(model.estimators_features_), "trees of a forest")
    for tree, columns in zip(model.estimators_, model.estimators_features_, strict=True):
        chosen = np.asarray(columns)
        require(chosen.ndim == 1 and chosen.dtype.kind in "iu", "columns of a tree")
        require(len(chosen) == model._max_features, "columns of a tree")
        require(
            ((chosen >= 0) & (chosen < n_features)).all() and _features_of(tree) == len(chosen), "columns of a tree"
        )


def _features_of(model: Any) -> int:
    own = vars(model).get("n_features_in_")
    require(isinstance(own, int | np.integer) and own >= 1, "number of features")
    return int(own or 0)


def _check_own_tree(model: Any) -> None:
    _features_of(model)
    require(type(model.tree_).__name__ == "Tree", "tree")


# --- neighbours, clusters, support vectors ----------------------------------------------------------------------------


def _rebuild_neighbour_tree(model: Any) -> None:
    """Build the index from the kept rows, as ``neighbors/_base.NeighborsBase._fit`` does."""
    from sklearn.neighbors import BallTree, KDTree

    kinds: dict[str, Any] = {"KDTree": KDTree, "BallTree": BallTree}
    name = type(model._tree).__name__
    require(name in kinds, "neighbour index")
    kept = np.asarray(model._fit_X)
    model._tree = kinds[name](
        kept, int(model.leaf_size), metric=model.effective_metric_, **model.effective_metric_params_
    )


def _refuse_neighbour_tree(_tree: Any, _n_features: int | None) -> None:
    require(False, "neighbour index")  # anywhere but where it is built again


def _check_kept_rows(model: Any) -> None:
    if not hasattr(model, "n_samples_fit_"):
        return
    shape = getattr(model._fit_X, "shape", None)
    require(shape == (model.n_samples_fit_, _features_of(model)), "kept rows")
    if hasattr(model, "_y") and hasattr(model, "classes_"):
        _check_kept_labels(model)


def _check_kept_labels(model: Any) -> None:
    codes = np.asarray(model._y)
    classes = model.classes_ if isinstance(model.classes_, list) else [model.classes_]
    columns = codes.reshape(len(codes), -1)
    require(len(codes) == model._fit_X.shape[0] and columns.shape[1] == len(classes), "kept labels")
    for column, labels in zip(columns.T, classes, strict=True):
        require(column.dtype.kind in "iu" and (column >= 0).all() and (column < len(labels)).all(), "kept labels")


def _check_centres(model: Any) -> None:
    centres = np.asarray(model.cluster_centers_)
    require(centres.ndim == 2 and len(centres) >= 1 and centres.shape[1] == _features_of(model), "cluster centres")


def _check_support_vectors(model: Any) -> None:
    vectors, dual = model.support_vectors_, model._dual_coef_
    n_classes = len(model.classes_) if hasattr(model, "classes_") else 2
    n_pairs = n_classes * (n_classes - 1) // 2
    require("_impl" not in vars(model) and bool(model._sparse) != isinstance(vectors, np.ndarray), "support vectors")
    require(vectors.ndim == 2 and vectors.shape[1] == model.n_features_in_, "support vectors")
    require(len(model.support_) == vectors.shape[0], "support vectors")
    require(n_classes >= 2 and dual.shape == (n_classes - 1, vectors.shape[0]), "support vectors")
    require(len(model._intercept_) == n_pairs, "support vectors")
    require(len(model._probA) in (0, n_pairs) and len(model._probA) == len(model._probB), "support vectors")
    counts = np.asarray(model._n_support)
    require(counts.shape == (n_classes,) and (counts >= 0).all(), "support vectors")
    require(not hasattr(model, "classes_") or counts.sum() == vectors.shape[0], "support vectors")


# --- matrices and random states ---------------------------------------------------------------------------------------


def check_sparse(matrix: Any) -> None:
    """Indices lie in the matrix; multiplication follows them without a look."""
    require(matrix.format in ("csr", "csc", "coo"), "indices of a sparse matrix")
    try:
        if matrix.format == "coo":
            for indices, size in zip(matrix.coords, matrix.shape, strict=True):
                require(((indices >= 0) & (indices < size)).all(), "indices of a sparse matrix")
        else:
            matrix.check_format(full_check=True)
    except (ValueError, IndexError) as error:
        raise UnloadableModel(f"The scikit-learn model holds a broken sparse matrix: {error}") from error


def _check_random_state(state: Any, _n_features: int | None) -> None:
    _check_generator_state(state.get_state(legacy=False))


def _check_generator(generator: Any, _n_features: int | None) -> None:
    _check_generator_state(generator.bit_generator.state)


def _check_generator_state(state: dict[str, Any]) -> None:
    """The position lies within the state: a generator goes on from it without a look."""
    kind = state["bit_generator"]
    if kind == "MT19937":
        require(0 <= int(state["state"]["pos"]) <= _MERSENNE_WORDS, "positions of a random state")
    elif kind == "Philox":
        require(0 <= int(state["buffer_pos"]) <= _PHILOX_WORDS, "positions of a random state")


CHECKS: dict[str, Callable[[Any, int | None], None]] = {
    "Tree": _check_tree,
    "TreePredictor": _check_histogram_tree,
    "RandomState": _check_random_state,
    "Generator": _check_generator,
    **dict.fromkeys(("KDTree", "KDTree64", "KDTree32", "BallTree", "BallTree64", "BallTree32"), _refuse_neighbour_tree),
}

BY_ATTRIBUTE: dict[str, Callable[[Any], None]] = {
    "tree_": _check_own_tree,
    "estimators_": _check_estimators,
    "_predictors": _check_histogram_boosting,
    "_fit_X": _check_kept_rows,
    "_tree": _rebuild_neighbour_tree,
    "support_vectors_": _check_support_vectors,
    "cluster_centers_": _check_centres,
}
"""In this order: the index is built again from rows that are checked before."""
