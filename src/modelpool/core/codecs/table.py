"""Rows of checked values to the two matrices that compiled models take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from modelpool.core.codecs.values import parse_datetime
from modelpool.core.formats.base import TableArrays
from modelpool.core.signature import ModelSignature

Row = Sequence[Any]
_FLOAT64 = np.dtype(np.float64)


class TableBuilder:
    """Makes :class:`~modelpool.core.formats.base.TableArrays` for one tabular signature."""

    def __init__(self, signature: ModelSignature) -> None:
        specs = signature.inputs
        texts = [at for at, spec in enumerate(specs) if spec.dtype == "string"]
        numbers = [at for at, spec in enumerate(specs) if spec.dtype != "string"]
        self._text_names = tuple(specs[at].name for at in texts)
        self._number_names = tuple(specs[at].name for at in numbers)
        self._dates = [place for place, at in enumerate(numbers) if specs[at].dtype == "datetime"]
        self._texts_may_miss = any(specs[at].nullable for at in texts)
        self._pick_texts = _picker(texts)
        self._pick_numbers = None if len(numbers) == len(specs) else _picker(numbers)

    def from_rows(self, rows: Sequence[Row]) -> tuple[TableArrays, int]:
        """Return the arrays of at least one row, and of how many texts they are made; ``None`` is a missing value.

        The values are of the signature's types already; ``ValueError`` for a date that is none.
        """
        numbers = texts = None
        strings = 0
        if self._text_names:
            texts, strings = self._join_texts(rows)
        if self._number_names:
            picked = rows if self._pick_numbers is None else [self._pick_numbers(row) for row in rows]
            if self._dates:
                picked, dates = self._read_dates(picked)
                strings += dates
            numbers = np.array(picked, _FLOAT64)
        table = TableArrays(numbers=numbers, number_names=self._number_names, texts=texts, text_names=self._text_names)
        return table, strings

    def from_numbers(self, rows: Sequence[Row]) -> TableArrays:
        """Return the arrays of a table that is all numbers."""
        return TableArrays(numbers=np.array(rows, _FLOAT64), number_names=self._number_names)

    def _join_texts(self, rows: Sequence[Row]) -> tuple[np.ndarray[Any, Any], int]:
        picked = [self._pick_texts(row) for row in rows]
        count = len(picked) * len(self._text_names)
        if self._texts_may_miss:
            missing = sum(row.count(None) for row in picked)
            if missing:
                count -= missing
                picked = [tuple(["" if value is None else value for value in row]) for row in picked]
        return np.array(picked, object), count

    def _read_dates(self, rows: Sequence[Row]) -> tuple[list[list[Any]], int]:
        read, count = [], 0
        for row in rows:
            values = list(row)
            for place in self._dates:
                text = values[place]
                if text is None:
                    values[place] = math.nan
                else:
                    values[place] = parse_datetime(text)
                    count += 1
            read.append(values)
        return read, count


def _picker(places: list[int]) -> Callable[[Row], tuple[Any, ...]]:
    """Return a function that takes some of a row's values, always as a tuple."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple([row[at] for at in places])
