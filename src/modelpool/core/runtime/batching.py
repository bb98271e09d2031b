"""Rows of several requests in one call: which go together, how they are joined, and what a call costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from modelpool.core.formats.base import Arrays, TableArrays

_OBJECT_BYTES = 64  # of a short text
_OLD_SHARE = 0.9  # of what was known, when another call is measured
_MOST_TIMES, _MOST_MORE_S = 16.0, 0.001  # by which one measurement may exceed the estimate
_WORTH = 16  # rows together until the fixed part is a sixteenth of their own


def layout_of(inputs: Arrays, outputs: Sequence[str]) -> tuple[Any, ...]:
    """Return what must be equal for requests to be joined: outputs, columns, types and the shape of a row."""
    if isinstance(inputs, TableArrays):
        numbers, texts = inputs.numbers, inputs.texts
        kinds = (None if numbers is None else numbers.dtype.char, None if texts is None else texts.dtype.char)
        return (tuple(outputs), inputs.number_names, inputs.text_names, kinds)
    columns = tuple((name, array.dtype.str, array.shape[1:]) for name, array in inputs.items())
    return (tuple(outputs), columns)


def bytes_of(inputs: Arrays) -> int:
    """Return about how many bytes the arrays take; texts are taken to be short."""
    matrices = (inputs.numbers, inputs.texts) if isinstance(inputs, TableArrays) else inputs.values()
    total = 0
    for array in matrices:
        if array is not None:
            total += array.size * _OBJECT_BYTES if array.dtype.kind == "O" else array.nbytes
    return total


def join(parts: Sequence[Arrays]) -> Arrays:
    """Return the rows of all parts, which are of one layout, one after another."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, TableArrays):
        return TableArrays(
            numbers=_stacked([part.numbers for part in parts if isinstance(part, TableArrays)]),
            number_names=first.number_names,
            texts=_stacked([part.texts for part in parts if isinstance(part, TableArrays)]),
            text_names=first.text_names,
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in first}


def _stacked(matrices: Sequence[np.ndarray | None]) -> np.ndarray | None:
    present = [matrix for matrix in matrices if matrix is not None]
    return np.concatenate(present) if present else None


def split(answers: Mapping[str, np.ndarray], counts: Iterable[int]) -> list[dict[str, np.ndarray]]:
    """Return the rows of each part; the answers hold as many rows as ``counts`` say together."""
    parts, start = [], 0
    for count in counts:
        parts.append({name: array[start : start + count] for name, array in answers.items()})
        start += count
    return parts


class CostModel:
    """What a call of one model costs: ``call_s`` and, for each row, ``row_s``; learned from calls, old ones fade.

    A line through recent calls. A single call that took far longer, because the machine was busy, moves it little, and
    later ones move it back.
    """

    def __init__(self, *, call_s: float = 0.0, row_s: float = 0.0) -> None:
        self.call_s, self.row_s = call_s, row_s
        self._knows_slope = False
        self._weight = self._rows = self._seconds = self._squares = self._products = 0.0

    def estimate(self, n_rows: int) -> float:
        """Return the seconds that a call of so many rows takes."""
        return self.call_s + self.row_s * n_rows

    def observe(self, n_rows: int, seconds: float) -> None:
        """Learn from a call."""
        if self._knows_slope or 0 < n_rows * self._weight <= 2 * self._rows:
            seconds = min(seconds, _MOST_TIMES * self.estimate(n_rows) + _MOST_MORE_S)
        self._weight = self._weight * _OLD_SHARE + 1.0
        self._rows = self._rows * _OLD_SHARE + n_rows
        self._seconds = self._seconds * _OLD_SHARE + seconds
        self._squares = self._squares * _OLD_SHARE + n_rows * n_rows
        self._products = self._products * _OLD_SHARE + n_rows * seconds
        rows, mean = self._rows / self._weight, self._seconds / self._weight
        spread = self._squares / self._weight - rows * rows
        if spread > 0.01 * rows * rows:  # calls of one size say nothing of the slope
            self.row_s = (self._products / self._weight - rows * mean) / spread
            self._knows_slope = True
        self.row_s = min(max(self.row_s, 0.0), mean / rows)
        self.call_s = mean - self.row_s * rows

    def rows_within(self, seconds: float) -> int:
        """Return how many rows a call of so many seconds has; 0 where one takes longer."""
        left = seconds - self.call_s
        if left < self.row_s:
            return 0
        return min(int(left / self.row_s), 1 << 30) if self.row_s > 0 else 1 << 30

    def rows_worth_joining(self) -> int:
        """Return how many rows together save something: more of them only make the first one wait for the last."""
        if self.row_s <= 0:
            return 1 << 30
        return max(int(min(_WORTH * self.call_s / self.row_s, 1 << 30)), 1)
