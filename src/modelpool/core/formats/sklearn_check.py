"""The structure of estimators that native code follows without looking: checked before first use.

Measured: a tree node that is its own child loops for ever in native code, a child or feature index out of range
reads foreign memory. So do sparse matrices, support vectors, cluster centres and random states with wrong positions.
Sizes and indices are therefore compared here, in Python, wherever they are found in the estimator; what each kind has
to fulfil is in ``sklearn_structures.py``.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from modelpool.core.errors import UnloadableModel
from modelpool.core.formats import sklearn_structures as structures
from modelpool.core.formats.sklearn_structures import require

MAX_OBJECTS = 5_000_000

_UNCHECKING_MODULES = (
    "sklearn.tree.",
    "sklearn.ensemble._forest",
    "sklearn.ensemble._gb",
    "sklearn.ensemble._hist_gradient_boosting.",
)
"""Whose estimators hand rows to trees without another look at their number of columns."""


def check_structure(estimator: Any) -> None:
    """Raise :class:`~modelpool.core.errors.UnloadableModel` for what would crash or hang; set threads to 1.

    Neighbour trees are built again from the rows they index, so that no foreign index is ever followed.
    """
    seen: set[int] = set()
    waiting: list[tuple[Any, int | None]] = [(estimator, None)]
    while waiting:
        item, n_features = waiting.pop()
        if id(item) in seen or item is None or isinstance(item, str | bytes | int | float | type | ModuleType):
            continue
        seen.add(id(item))
        if len(seen) > MAX_OBJECTS:
            raise UnloadableModel("The scikit-learn model holds too many objects.")
        waiting.extend(_parts(item, n_features))


def _parts(item: Any, n_features: int | None) -> list[tuple[Any, int | None]]:
    """Check one object; return what it holds, with the number of features that trees inside it will see."""
    check = structures.CHECKS.get(type(item).__name__)
    if check is not None:
        check(item, n_features)
        return []
    if isinstance(item, np.ndarray):
        return [(part, n_features) for part in item.ravel().tolist()] if item.dtype == object else []
    if isinstance(item, dict):
        return [(part, n_features) for part in (*item.values(), *item)]
    if isinstance(item, list | tuple | set | frozenset):
        return [(part, n_features) for part in item]
    if type(item).__module__.startswith("scipy.sparse"):
        structures.check_sparse(item)
        return []
    attributes = getattr(item, "__dict__", None)
    if not isinstance(attributes, dict):
        return []
    inner = _check_estimator(item, attributes, n_features)
    return [(part, inner) for name, part in attributes.items() if name != "_tree"]


def _check_estimator(item: Any, attributes: dict[str, Any], n_features: int | None) -> int | None:
    """Check an object with attributes; return the number of features that trees directly inside it will see."""
    _use_one_thread(attributes)
    _check_names(item, attributes)
    own = attributes.get("n_features_in_")
    if own is not None:
        require(isinstance(own, int | np.integer) and not isinstance(own, bool) and own >= 1, "number of features")
    for name, check in structures.BY_ATTRIBUTE.items():
        if attributes.get(name) is not None:
            check(item)
    if not type(item).__module__.startswith(_UNCHECKING_MODULES):
        return None
    if "tree_" in attributes and n_features is not None and own != n_features:
        raise UnloadableModel(
            "The scikit-learn model is inconsistent: a tree takes another number of features than its forest."
        )
    return n_features if own is None else int(own)


def _use_one_thread(attributes: dict[str, Any]) -> None:
    for name in ("n_jobs", "_n_threads"):
        if name in attributes:
            attributes[name] = 1


def _check_names(item: Any, attributes: dict[str, Any]) -> None:
    """Nothing may stand in for a method, such as the one that checks the rows."""
    for name in attributes:
        own = next((vars(kind)[name] for kind in type(item).__mro__ if name in vars(kind)), None)
        require(not hasattr(own, "__get__") or hasattr(own, "__set__"), f"methods ({str(name)[:40]})")
