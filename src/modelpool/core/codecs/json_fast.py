"""Bodies that fit, read in a few microseconds: typed by msgspec, then straight into arrays.

It answers only what it is sure of. Whatever does not fit, or may hold a duplicate key, is ``None``: the exact reader
(:mod:`~modelpool.core.codecs.json_exact`) then says what is wrong, or reads it after all.

msgspec keeps the last of duplicate keys, so they are found by counting: each key and each text takes two quotation marks,
and a body with more of them than the decoded values explain is not answered here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from modelpool.core.codecs.base import InferenceRequest, outputs_of_method
from modelpool.core.codecs.json_types import BodyTypes, takes_matrix
from modelpool.core.codecs.values import array_dtype, parse_datetime
from modelpool.core.columns import ColumnBlock
from modelpool.core.formats.base import Arrays
from modelpool.core.signature import ModelSignature, TensorSpec

_UNSURE = (msgspec.MsgspecError, ValueError, TypeError, LookupError, OverflowError, RecursionError, AttributeError)


class FastReader:
    """Reads bodies for one signature."""

    def __init__(self, signature: ModelSignature) -> None:
        types = BodyTypes(signature)
        self._decode = msgspec.json.Decoder(types.body).decode
        self._record, self._columns = types.record, types.columns
        self._specs = signature.inputs
        self._names = tuple(spec.name for spec in signature.inputs)
        self._index = {name: at for at, name in enumerate(self._names)}
        self._outputs = {name: outputs_of_method(signature, name) for name in signature.methods}
        self._default = signature.methods[:1]
        self._texts = [at for at, spec in enumerate(signature.inputs) if spec.dtype in ("string", "datetime")]
        self._has_nullable = any(spec.nullable for spec in signature.inputs)
        self._is_matrix = takes_matrix(signature)
        self._block = _block_dtype(signature)

    def read(self, body: bytes) -> InferenceRequest | None:
        """Return the request, or ``None`` when the exact reader must decide."""
        try:
            decoded = self._decode(body)
            return self._build(decoded, body)
        except _UNSURE:
            return None

    def _build(self, decoded: Any, body: bytes) -> InferenceRequest | None:
        quotes = body.count(b'"')
        outputs = self._default
        if decoded.params is not UNSET:
            outputs, used = self._read_params(decoded.params)
            quotes -= used
        instances = decoded.instances
        if instances is not UNSET:
            if (
                decoded.inputs is not UNSET
                or decoded.dataframe_split is not UNSET
                or decoded.dataframe_records is not UNSET
            ):
                return None
            if self._block is not None and type(instances[0]) is tuple:
                if quotes != 2:
                    return None
                matrix = np.array(instances, self._block)
                return InferenceRequest(
                    ColumnBlock(self._names, matrix, index=self._index),
                    len(instances),
                    outputs,
                )
            inputs, strings = self._from_rows(instances)
        else:
            inputs, strings = self._from_other_form(decoded)
        if quotes != 2 * (1 + strings) or (self._texts and b"\\u0000" in body):
            return None
        return InferenceRequest(inputs, _count_rows(inputs), outputs)

    def _read_params(self, params: Any) -> tuple[tuple[str, ...], int]:
        if params.method is UNSET:
            return self._default, 2
        outputs = self._outputs.get(params.method)
        if outputs is None:
            raise ValueError(params.method)
        return outputs, 6

    def _from_other_form(self, decoded: Any) -> tuple[Arrays, int]:
        given = [
            form
            for form in (
                decoded.inputs,
                decoded.dataframe_split,
                decoded.dataframe_records,
            )
            if form is not UNSET
        ]
        (form,) = given
        if form is decoded.dataframe_split:
            return self._from_split(form)
        return self._from_columns(form) if type(form) is self._columns else self._from_rows(form)

    def _from_split(self, split: Any) -> tuple[Arrays, int]:
        width_fits = (
            self._is_matrix and len(split.columns) == self._specs[0].shape[1] and len(self._specs[0].shape) == 2
        )
        if not width_fits and tuple(split.columns) != self._names:
            raise ValueError("columns in another order")
        inputs, strings = self._from_rows(split.data)
        return inputs, strings + 2 + len(split.columns) + (split.index is not UNSET)

    def _from_rows(self, rows: list[Any]) -> tuple[Arrays, int]:
        """Return the arrays, and how many keys and texts the rows are made of."""
        keys = 0
        if type(rows[0]) is self._record:
            astuple = msgspec.structs.astuple
            rows = [astuple(row) for row in rows]
            keys = len(rows) * len(self._specs)
            if self._has_nullable:
                absent = sum(row.count(UNSET) for row in rows)
                keys -= absent
                if absent:
                    rows = [[None if value is UNSET else value for value in row] for row in rows]
            if self._is_matrix:
                rows = [row[0] for row in rows]
        if self._is_matrix:
            array, texts = _to_array(self._specs[0], rows)
            return {self._names[0]: array}, keys + texts
        if self._block is not None:
            matrix = np.array(rows, self._block)
            return ColumnBlock(self._names, matrix, index=self._index), keys
        inputs, texts = self._from_lists(list(zip(*rows, strict=True)))
        return inputs, keys + texts

    def _from_columns(self, columns: Any) -> tuple[Arrays, int]:
        lists = list(msgspec.structs.astuple(columns))
        n_rows = max(len(values) for values in lists if values is not UNSET)
        keys = len(lists) - lists.count(UNSET)
        lists = [[None] * n_rows if values is UNSET else values for values in lists]
        if any(len(values) != n_rows for values in lists):
            raise ValueError("columns differ in length")
        if self._block is not None:
            matrix = np.array(lists, self._block).T.copy()
            return ColumnBlock(self._names, matrix, index=self._index), keys
        inputs, texts = self._from_lists(lists)
        return inputs, keys + texts

    def _from_lists(self, lists: Sequence[Sequence[Any]]) -> tuple[Arrays, int]:
        arrays, strings = {}, 0
        for spec, values in zip(self._specs, lists, strict=True):
            arrays[spec.name], texts = _to_array(spec, values)
            strings += texts
        return arrays, strings


def _to_array(spec: TensorSpec, values: Sequence[Any]) -> tuple[np.ndarray[Any, Any], int]:
    """Return the array of a column or matrix, and how many texts it was made of."""
    if spec.dtype not in ("string", "datetime"):
        array = np.array(values, array_dtype(spec))
        if array.ndim != len(spec.shape):
            raise ValueError("ragged")
        return array, 0
    if len(spec.shape) > 1:
        raise ValueError("a matrix of texts is left to the exact reader")
    nulls = values.count(None) if spec.nullable else 0
    texts = len(values) - nulls
    if spec.dtype == "datetime":
        return np.array(
            [math.nan if value is None else parse_datetime(value) for value in values],
            np.float64,
        ), texts
    if nulls:
        values = ["" if value is None else value for value in values]
    return np.array(values, object), texts


def _block_dtype(signature: ModelSignature) -> np.dtype[Any] | None:
    """The one numeric dtype of all columns, or ``None`` where they differ."""
    dtypes = {array_dtype(spec) for spec in signature.inputs}
    plain = signature.is_tabular and all(spec.dtype not in ("string", "datetime") for spec in signature.inputs)
    return dtypes.pop() if plain and len(dtypes) == 1 else None


def _count_rows(inputs: Arrays) -> int:
    if isinstance(inputs, ColumnBlock):
        return len(inputs.matrix)
    return len(next(iter(inputs.values())))
