"""Compiled forms of trees, forests and boosted trees: the ``TreeEnsembleRegressor`` operator in double precision.

scikit-learn's trees round a row to float32 and compare it with float64 thresholds; its histogram trees do not round.
The operator with double inputs and thresholds does exactly that, after a cast to float32 and back for the former.
Sums are made in double and given out as float32, an error of 6e-8 relative; whole numbers below 2^24 are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelpool.core.compile.graph import ML, Graph, Matrix, NotConvertible
from modelpool.core.compile.predictors import Prediction, arg_max, emits, is_positive, two_columns


@dataclass(slots=True)
class _Ensemble:
    """The attributes of the operator (ONNX ai.onnx.ml 3, TreeEnsembleRegressor), collected tree by tree."""

    n_targets: int
    trees: int = 0
    treeids: list[np.ndarray] = field(default_factory=list)
    nodeids: list[np.ndarray] = field(default_factory=list)
    features: list[np.ndarray] = field(default_factory=list)
    thresholds: list[np.ndarray] = field(default_factory=list)
    yes: list[np.ndarray] = field(default_factory=list)
    no: list[np.ndarray] = field(default_factory=list)
    is_leaf: list[np.ndarray] = field(default_factory=list)
    missing_yes: list[np.ndarray] = field(default_factory=list)
    target_treeids: list[np.ndarray] = field(default_factory=list)
    target_nodeids: list[np.ndarray] = field(default_factory=list)
    target_ids: list[np.ndarray] = field(default_factory=list)
    target_weights: list[np.ndarray] = field(default_factory=list)

    def add(
        self,
        *,
        left: Any,
        right: Any,
        feature: Any,
        threshold: Any,
        missing_left: Any,
        is_leaf: Any,
        weights: Any,
        target: int = 0,
    ) -> None:
        """Add one tree; ``weights`` is ``(n_nodes, k)`` for the targets from ``target`` on, read at leaves."""
        n_nodes = len(is_leaf)
        self.treeids.append(np.full(n_nodes, self.trees))
        self.nodeids.append(np.arange(n_nodes))
        self.features.append(np.where(is_leaf, 0, feature))
        self.thresholds.append(np.where(is_leaf, 0.0, threshold))
        self.yes.append(np.where(is_leaf, 0, left))
        self.no.append(np.where(is_leaf, 0, right))
        self.is_leaf.append(np.asarray(is_leaf, dtype=bool))
        self.missing_yes.append(np.where(is_leaf, 0, missing_left))
        self._add_leaves(np.flatnonzero(is_leaf), np.asarray(weights, dtype=np.float64), target)
        self.trees += 1

    def _add_leaves(self, leaves: np.ndarray, weights: np.ndarray, target: int) -> None:
        width = weights.shape[1]
        self.target_treeids.append(np.full(len(leaves) * width, self.trees))
        self.target_nodeids.append(np.repeat(leaves, width))
        self.target_ids.append(np.tile(np.arange(target, target + width), len(leaves)))
        self.target_weights.append(weights[leaves].ravel())

    def emit(self, graph: Graph, source: str) -> str:
        """Add the operator; returns ``(n_rows, n_targets)``, the sums over all trees: float64 rounded to float32."""
        from onnx import helper

        def flat(parts: list[np.ndarray]) -> list[int]:
            return [int(item) for item in np.concatenate(parts)]

        def tensor(parts: list[np.ndarray]) -> Any:
            values = np.concatenate(parts).astype(np.float64)
            return helper.make_tensor("", 11, values.shape, values.tobytes(), raw=True)

        total = graph.op(
            "TreeEnsembleRegressor", source, domain=ML, n_targets=self.n_targets, post_transform="NONE",
            nodes_treeids=flat(self.treeids), nodes_nodeids=flat(self.nodeids), nodes_featureids=flat(self.features),
            nodes_values_as_tensor=tensor(self.thresholds),
            nodes_truenodeids=flat(self.yes), nodes_falsenodeids=flat(self.no),
            nodes_modes=["LEAF" if leaf else "BRANCH_LEQ" for leaf in np.concatenate(self.is_leaf)],
            nodes_missing_value_tracks_true=flat(self.missing_yes),
            target_treeids=flat(self.target_treeids), target_nodeids=flat(self.target_nodeids),
            target_ids=flat(self.target_ids), target_weights_as_tensor=tensor(self.target_weights),
        )  # fmt: skip
        return graph.cast(total, np.float64)


def _rounded(graph: Graph, source: Matrix) -> str:
    return graph.cast(graph.cast(source.name, np.float32), np.float64)


def _add_tree(ensemble: _Ensemble, model: Any, *, weights: np.ndarray, target: int = 0) -> None:
    tree = model.tree_
    ensemble.add(
        left=tree.children_left, right=tree.children_right, feature=tree.feature, threshold=tree.threshold,
        missing_left=tree.missing_go_to_left, is_leaf=tree.children_left < 0, weights=weights, target=target,
    )  # fmt: skip


def _trees_of(model: Any) -> list[Any]:
    return list(model.estimators_) if hasattr(model, "estimators_") else [model]


@emits("DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier")
def _forest_classifier(graph: Graph, model: Any, source: Matrix) -> Prediction:
    """Trees say which leaf a row falls into; the leaves' probabilities are then added one tree after another.

    So the sums are those of ``ForestClassifier.predict_proba`` to the last bit, which decides ties between classes:
    one row in five hundred for a forest of 20 trees.
    """
    trees = _trees_of(model)
    ensemble = _Ensemble(n_targets=len(trees))
    tables, offsets = [], [0]
    for target, tree in enumerate(trees):
        is_leaf = tree.tree_.children_left < 0
        _add_tree(ensemble, tree, weights=(np.cumsum(is_leaf) - 1).reshape(-1, 1), target=target)
        tables.append(tree.tree_.value[is_leaf, 0, :])
        offsets.append(offsets[-1] + len(tables[-1]))
    leaves = graph.cast(ensemble.emit(graph, _rounded(graph, source)), np.int64)
    rows = graph.op("Add", leaves, np.asarray([offsets[:-1]], dtype=np.int64))
    chosen = graph.op("Gather", np.concatenate(tables), rows, axis=0)
    sums = graph.op("ReduceSum", chosen, np.asarray([1], dtype=np.int64), keepdims=0)
    probabilities = graph.op("Div", sums, np.asarray(float(len(trees))))
    return Prediction(labels=arg_max(graph, probabilities), probabilities=probabilities)


@emits("DecisionTreeRegressor", "ExtraTreeRegressor", "RandomForestRegressor", "ExtraTreesRegressor")
def _forest_regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    trees = _trees_of(model)
    ensemble = _Ensemble(n_targets=model.n_outputs_)
    for tree in trees:
        _add_tree(ensemble, tree, weights=tree.tree_.value[:, :, 0])
    sums = ensemble.emit(graph, _rounded(graph, source))
    return Prediction(values=graph.op("Div", sums, np.asarray(float(len(trees)))))


@emits("GradientBoostingClassifier")
def _boosting_classifier(graph: Graph, model: Any, source: Matrix) -> Prediction:
    raw = _boosted(graph, model, source)
    if len(model.classes_) > 2:
        return Prediction(labels=arg_max(graph, raw), scores=raw, probabilities=graph.op("Softmax", raw, axis=1))
    if model.loss != "log_loss":
        raise NotConvertible(f"GradientBoostingClassifier with loss={model.loss!r} has no compiled form")
    positive = graph.op("Sigmoid", raw)
    return Prediction(
        labels=is_positive(graph, raw, or_zero=True), scores=raw, probabilities=two_columns(graph, positive)
    )


@emits("GradientBoostingRegressor")
def _boosting_regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    return Prediction(values=_boosted(graph, model, source))


def _boosted(graph: Graph, model: Any, source: Matrix) -> str:
    if model.init_ != "zero" and type(model.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise NotConvertible("gradient boosting from an init estimator has no compiled form")
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))[0]
    ensemble = _Ensemble(n_targets=len(start))
    for stage in model.estimators_:
        for target, tree in enumerate(stage):
            _add_tree(ensemble, tree, weights=tree.tree_.value[:, :, 0] * model.learning_rate, target=target)
    return graph.op("Add", ensemble.emit(graph, _rounded(graph, source)), np.asarray(start, dtype=np.float64))


@emits("HistGradientBoostingClassifier")
def _histogram_classifier(graph: Graph, model: Any, source: Matrix) -> Prediction:
    raw = _histogram(graph, model, source)
    if len(model.classes_) > 2:
        return Prediction(labels=arg_max(graph, raw), scores=raw, probabilities=graph.op("Softmax", raw, axis=1))
    return Prediction(
        labels=is_positive(graph, raw), scores=raw, probabilities=two_columns(graph, graph.op("Sigmoid", raw))
    )


@emits("HistGradientBoostingRegressor")
def _histogram_regressor(graph: Graph, model: Any, source: Matrix) -> Prediction:
    raw = _histogram(graph, model, source)
    return Prediction(values=graph.op("Exp", raw) if model.loss in ("poisson", "gamma") else raw)


def _histogram(graph: Graph, model: Any, source: Matrix) -> str:
    if model.is_categorical_ is not None:
        raise NotConvertible("histogram gradient boosting with categorical splits has no compiled form")
    ensemble = _Ensemble(n_targets=model.n_trees_per_iteration_)
    for target, nodes in _histogram_trees(model):
        ensemble.add(
            left=nodes["left"], right=nodes["right"], feature=nodes["feature_idx"], threshold=nodes["num_threshold"],
            missing_left=nodes["missing_go_to_left"], is_leaf=nodes["is_leaf"].astype(bool),
            weights=nodes["value"].reshape(-1, 1), target=target,
        )  # fmt: skip
    baseline = np.asarray(model._baseline_prediction, dtype=np.float64).ravel()
    return graph.op("Add", ensemble.emit(graph, source.name), baseline)


def _histogram_trees(model: Any) -> Iterator[tuple[int, Any]]:
    for stage in model._predictors:
        for target, predictor in enumerate(stage):
            yield target, predictor.nodes
