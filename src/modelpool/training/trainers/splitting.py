"""Rows to fit on and rows to measure on."""

from __future__ import annotations

from typing import Any

import numpy as np

Rows = np.ndarray[Any, Any]
"""Positions of rows, ``(n,)`` int64."""


def hold_out(n_rows: int, *, share: float, seed: int, strata: np.ndarray[Any, Any] | None) -> tuple[Rows, Rows]:
    """Return the rows to fit on and the rows held out; each class of ``strata`` in both where it has the rows.

    At least two rows are held out, and at least as many as there are classes.
    """
    from sklearn.model_selection import train_test_split

    n_classes = 0 if strata is None else len(np.unique(strata))
    n_test = min(max(round(n_rows * share), n_classes, 2), n_rows - max(n_classes, 2))
    train, test = train_test_split(np.arange(n_rows), test_size=n_test, random_state=seed, stratify=strata)
    return np.sort(train), np.sort(test)


def make_folds(n_rows: int, *, n_folds: int, seed: int, strata: np.ndarray[Any, Any] | None) -> list[tuple[Rows, Rows]]:
    """Return ``n_folds`` pairs of rows to fit on and rows to measure on."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if strata is None:
        return list(KFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(n_rows)))
    return list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(n_rows), strata))


def count_folds(wanted: int, *, n_rows: int, strata: np.ndarray[Any, Any] | None) -> int:
    """Return how many folds the data allow, at most ``wanted``: each class in every fold, or two rows each; else 0."""
    rarest = n_rows // 2 if strata is None else int(np.unique(strata, return_counts=True)[1].min())
    allowed = min(wanted, rarest)
    return allowed if allowed >= 2 else 0
