"""Tree ensembles in ONNX files: every walk down a tree must end, and stay in it.

Recent releases of ONNX Runtime look for themselves, older ones followed such trees out of their memory or for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelpool.core.errors import UnloadableModel

_READ = frozenset(
    {
        "nodes_treeids", "nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_featureids", "tree_roots",
        "nodes_trueleafs", "nodes_falseleafs", "leaf_targetids",
    }
)  # fmt: skip
_LEAF = b"LEAF"
_MAX_FEATURE = 1 << 24
_MAX_NUMBER = 1 << 31


def check_trees(node: Any) -> None:
    """Raise :class:`~modelpool.core.errors.UnloadableModel` unless the node's trees are trees."""
    ints = {entry.name: np.array(entry.ints, dtype=np.int64) for entry in node.attribute if entry.name in _READ}
    modes = next((list(entry.strings) for entry in node.attribute if entry.name == "nodes_modes"), [])
    if node.op_type == "TreeEnsemble":
        _check_indexed(ints)
    else:
        _check_numbered(ints, modes)
    features = ints.get("nodes_featureids", np.zeros(0, np.int64))
    _require(((features >= 0) & (features < _MAX_FEATURE)).all(), "features")


def _check_numbered(ints: Mapping[str, np.ndarray], modes: list[bytes]) -> None:
    """``ai.onnx.ml`` 1 to 4: nodes are named by the numbers of their tree and of themselves."""
    names = ("nodes_treeids", "nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_featureids")
    columns = [ints.get(name, np.zeros(0, np.int64)) for name in names]
    _require({len(column) for column in columns} == {len(modes)} and modes, "sizes")
    trees, numbers, on_true, on_false, _ = columns
    for column in columns[:4]:
        _require(((column >= 0) & (column < _MAX_NUMBER)).all(), "numbers")
    names_of_nodes = trees * _MAX_NUMBER + numbers
    order = np.argsort(names_of_nodes, kind="stable")
    in_order = names_of_nodes[order]
    _require((np.diff(in_order) > 0).all(), "nodes")
    is_branch = np.array(modes) != _LEAF
    wanted = np.concatenate([(trees * _MAX_NUMBER + ids)[is_branch] for ids in (on_true, on_false)])
    found = np.minimum(np.searchsorted(in_order, wanted), len(order) - 1)
    _require((in_order[found] == wanted).all(), "children")
    _, roots = np.unique(trees, return_index=True)
    _check_walks(order[found], roots, len(trees))


def _check_indexed(ints: Mapping[str, np.ndarray]) -> None:
    """``ai.onnx.ml`` 5: children are positions, of nodes or of leaves."""
    roots, features = (ints.get(name, np.zeros(0, np.int64)) for name in ("tree_roots", "nodes_featureids"))
    n_leaves = len(ints.get("leaf_targetids", ()))
    _require(len(roots) and ((roots >= 0) & (roots < len(features))).all(), "roots")
    children = []
    for side in ("true", "false"):
        ids, is_leaf = ints.get(f"nodes_{side}nodeids"), ints.get(f"nodes_{side}leafs")
        if ids is None or is_leaf is None:
            raise UnloadableModel("The ONNX model's trees are inconsistent: their sizes do not fit together.")
        _require(len(ids) == len(is_leaf) == len(features), "sizes")
        leaves = ids[is_leaf != 0]
        _require(((leaves >= 0) & (leaves < n_leaves)).all(), "leaves")
        children.append(ids[is_leaf == 0])
    _check_walks(np.concatenate(children), roots, len(features))


def _check_walks(children: np.ndarray, roots: np.ndarray, n_nodes: int) -> None:
    """Children exist, none has two parents, and no root has one: then whatever a root reaches is a tree."""
    _require(((children >= 0) & (children < n_nodes)).all(), "children")
    parents = np.bincount(children, minlength=n_nodes)
    _require((parents <= 1).all() and not parents[roots].any(), "children")


def _require(condition: Any, what: str) -> None:
    if not condition:
        raise UnloadableModel(f"The ONNX model's trees are inconsistent: their {what} do not fit together.")
