"""Columns of one type, held as one matrix: cheap to make from rows, and to hand to a model that takes a matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np


class ColumnBlock(Mapping[str, np.ndarray]):
    """The arrays of a table whose columns are all of one dtype.

    It reads as a mapping of names to columns ``(n_rows,)``, each a view. A model that takes one matrix uses ``matrix``,
    ``(n_rows, n_columns)``, C-contiguous, its columns in the order of ``names``, and is spared one slice a column.
    """

    __slots__ = ("_index", "matrix", "names")

    def __init__(
        self,
        names: Sequence[str],
        matrix: np.ndarray,
        *,
        index: Mapping[str, int] | None = None,
    ) -> None:
        self.names = names
        self.matrix = matrix
        self._index = index if index is not None else {name: at for at, name in enumerate(names)}

    def __getitem__(self, name: str) -> np.ndarray:
        column: np.ndarray[Any, Any] = self.matrix[:, self._index[name]]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
