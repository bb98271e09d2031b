"""The structure of estimators that native code follows without looking: checked before first use.

Measured: a tree node that is its own child loops for ever in native code, a child or feature index out of range
reads foreign memory. Sizes and indices are therefore compared here, in Python, for every tree, neighbour index and
support vector machine found anywhere in the estimator.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modelpool.core.errors import UnloadableModel

MAX_OBJECTS = 5_000_000


def check_structure(estimator: Any) -> None:
    """Raise :class:`~modelpool.core.errors.UnloadableModel` for what would crash or hang; set ``n_jobs`` to 1.

    Neighbour trees are built again from the rows they index, so that no foreign index is ever followed.
    """
    seen: set[int] = set()
    waiting: list[tuple[Any, int | None]] = [(estimator, None)]
    while waiting:
        item, n_features = waiting.pop()
        if id(item) in seen or item is None or isinstance(item, str | bytes | int | float | type):
            continue
        seen.add(id(item))
        if len(seen) > MAX_OBJECTS:
            raise UnloadableModel("The scikit-learn model holds too many objects.")
        waiting.extend((part, inner) for part, inner in _parts(item, n_features))


def _parts(item: Any, n_features: int | None) -> list[tuple[Any, int | None]]:
    """Check one object; return what it holds, with the number of features that trees inside it will see."""
    kind = type(item).__name__
    if kind == "Tree":
        _check_tree(item, n_features)
        return []
    if kind == "TreePredictor":
        _check_histogram_tree(item, n_features)
        return []
    if isinstance(item, np.ndarray):
        return [(part, n_features) for part in item.ravel().tolist()] if item.dtype == object else []
    if isinstance(item, dict):
        return [(part, n_features) for part in item.values()]
    if isinstance(item, list | tuple | set | frozenset):
        return [(part, n_features) for part in item]
    attributes = getattr(item, "__dict__", None)
    if not isinstance(attributes, dict):
        return []
    inner = _check_estimator(item, attributes, n_features)
    return [(part, inner) for name, part in attributes.items() if name != "_tree"]


def _check_estimator(item: Any, attributes: dict[str, Any], n_features: int | None) -> int | None:
    if "n_jobs" in attributes:
        attributes["n_jobs"] = 1
    if attributes.get("_tree") is not None:
        _rebuild_neighbour_tree(item)
    if "_y" in attributes and "_fit_X" in attributes and "classes_" in attributes:
        _check_neighbours(item)
    if "support_vectors_" in attributes:
        _check_support_vectors(item)
    if "estimators_" in attributes and "n_trees_per_iteration_" in attributes:
        stages = np.asarray(attributes["estimators_"], dtype=object)
        _require(stages.ndim == 2 and stages.shape[1] == attributes["n_trees_per_iteration_"], "boosting stages")
    own = attributes.get("n_features_in_")
    if type(item).__name__.startswith("Bagging") or "estimators_features_" in attributes:
        return None
    if "tree_" in attributes and n_features is not None and own != n_features:
        raise UnloadableModel(
            "The scikit-learn model is inconsistent: a tree takes another number of features than its forest."
        )
    return int(own) if isinstance(own, int | np.integer) else n_features


def _require(condition: Any, what: str) -> None:
    if not condition:
        raise UnloadableModel(f"The scikit-learn model is inconsistent: the {what} do not fit together.")


def _check_tree(tree: Any, n_features: int | None) -> None:
    state = tree.__getstate__()
    nodes, count = state["nodes"], int(state["node_count"])
    _require(count == len(nodes) >= 1 and len(state["values"]) == count, "sizes of a tree")
    limit = tree.n_features if n_features is None else n_features
    _require(tree.n_features == limit, "features of a tree")
    left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
    is_leaf = left == -1
    _require(np.array_equal(is_leaf, right == -1), "leaves of a tree")
    _check_children(left, right, is_leaf)
    _require(((feature >= 0) & (feature < limit))[~is_leaf].all(), "features of a tree")


def _check_children(left: np.ndarray, right: np.ndarray, is_leaf: np.ndarray) -> None:
    """Children come after their parent, so that every walk ends."""
    index = np.arange(len(left))
    for child in (left.astype(np.int64), right.astype(np.int64)):
        _require(((child > index) & (child < len(left)))[~is_leaf].all(), "children of a tree")


def _check_histogram_tree(predictor: Any, n_features: int | None) -> None:
    nodes = predictor.nodes
    _require(isinstance(nodes, np.ndarray) and nodes.ndim == 1 and len(nodes) >= 1, "sizes of a tree")
    is_leaf = nodes["is_leaf"].astype(bool)
    _check_children(nodes["left"], nodes["right"], is_leaf)
    _require(n_features is not None, "features of a tree")
    feature = nodes["feature_idx"]
    _require(((feature >= 0) & (feature < n_features))[~is_leaf].all(), "features of a tree")
    categorical = nodes["is_categorical"].astype(bool) & ~is_leaf
    _require((nodes["bitset_idx"][categorical] < len(predictor.raw_left_cat_bitsets)).all(), "categories of a tree")


def _rebuild_neighbour_tree(model: Any) -> None:
    """Build the index from the kept rows, as ``neighbors/_base.NeighborsBase._fit`` does."""
    from sklearn.neighbors import BallTree, KDTree

    kinds: dict[str, Any] = {"KDTree": KDTree, "BallTree": BallTree}
    name = type(model._tree).__name__
    _require(name in kinds, "neighbour index")
    kept = np.asarray(model._fit_X)
    _require(kept.ndim == 2 and kept.shape == (model.n_samples_fit_, model.n_features_in_), "kept rows")
    model._tree = kinds[name](
        kept, int(model.leaf_size), metric=model.effective_metric_, **model.effective_metric_params_
    )


def _check_neighbours(model: Any) -> None:
    codes = np.asarray(model._y)
    classes = model.classes_ if isinstance(model.classes_, list) else [model.classes_]
    columns = codes.reshape(len(codes), -1)
    _require(len(codes) == model._fit_X.shape[0] and columns.shape[1] == len(classes), "kept labels")
    for column, labels in zip(columns.T, classes, strict=True):
        _require(column.dtype.kind in "iu" and (column >= 0).all() and (column < len(labels)).all(), "kept labels")


def _check_support_vectors(model: Any) -> None:
    vectors, dual = model.support_vectors_, model._dual_coef_
    n_classes = len(model.classes_) if hasattr(model, "classes_") else 2
    _require(vectors.shape[1] == model.n_features_in_ and len(model.support_) == vectors.shape[0], "support vectors")
    _require(dual.shape == (max(1, n_classes - 1), vectors.shape[0]), "support vectors")
    _require(len(model._intercept_) == n_classes * (n_classes - 1) // 2, "support vectors")
    counts = np.asarray(model._n_support)
    _require(
        (counts >= 0).all() and (not hasattr(model, "classes_") or counts.sum() == vectors.shape[0]), "support vectors"
    )
