"""Bodies that fit, read in a few microseconds: typed by msgspec, then straight into arrays.

It answers only what it is sure of. Whatever does not fit, or may hold a duplicate key, is ``None``: the exact reader
(:mod:`~modelpool.core.codecs.json_exact`) then says what is wrong, or reads it after all.

msgspec keeps the last of duplicate keys, so they are found by counting: each key and each text takes two quotation
marks, and a body with more of them than the decoded values explain is not answered here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET

from modelpool.core.codecs.base import InferenceRequest, outputs_of_method
from modelpool.core.codecs.json_types import BodyTypes, takes_matrix
from modelpool.core.codecs.table import TableBuilder
from modelpool.core.codecs.values import array_dtype
from modelpool.core.formats.base import Arrays
from modelpool.core.signature import ModelSignature, TensorSpec

_UNSURE = (msgspec.MsgspecError, ValueError, TypeError, LookupError, OverflowError, RecursionError, AttributeError)

_MAX_SHARED = 256
_shared: dict[tuple[TensorSpec, ...], tuple[BodyTypes, Callable[[bytes], Any]]] = {}


class FastReader:
    """Reads bodies for one signature; raises ``TypeError`` or ``ValueError`` for a signature that it cannot serve."""

    def __init__(self, signature: ModelSignature) -> None:
        types, self._decode = _types_of(signature)
        self._record, self._columns = types.record, types.columns
        self._specs = signature.inputs
        self._names = tuple(spec.name for spec in signature.inputs)
        self._outputs = {name: outputs_of_method(signature, name) for name in signature.methods}
        self._default = signature.methods[:1]
        self._has_texts = any(spec.dtype in ("string", "datetime") for spec in signature.inputs)
        self._has_nullable = any(spec.nullable for spec in signature.inputs)
        self._is_matrix = takes_matrix(signature)
        self._table = TableBuilder(signature) if signature.is_tabular else None
        self._numbers = self._table.from_numbers if self._table and not self._has_texts else None

    def read(self, body: bytes) -> InferenceRequest | None:
        """Return the request, or ``None`` when the exact reader must decide."""
        try:
            return self._build(self._decode(body), body)
        except _UNSURE:
            return None

    def _build(self, decoded: Any, body: bytes) -> InferenceRequest | None:
        quotes = body.count(b'"')
        rows = decoded.instances
        if quotes == 2 and self._numbers is not None and rows is not UNSET and type(rows[0]) is tuple:
            return InferenceRequest(self._numbers(rows), len(rows), self._default)  # one key: nothing else is there
        outputs = self._default
        if decoded.params is not UNSET:
            method = decoded.params.method
            quotes -= 2 if method is UNSET else 6
            outputs = self._default if method is UNSET else self._outputs[method]
        forms = decoded.instances, decoded.inputs, decoded.dataframe_split, decoded.dataframe_records
        (form,) = [form for form in forms if form is not UNSET]
        if type(form) is list:
            n_rows = len(form)
            inputs, strings = self._from_rows(form)
        elif type(form) is self._columns:
            inputs, strings, n_rows = self._from_columns(form)
        else:
            n_rows = len(form.data)
            inputs, strings = self._from_split(form)
        if quotes != 2 * (1 + strings) or (self._has_texts and b"\\u0000" in body):
            return None
        return InferenceRequest(inputs, n_rows, outputs)

    def _from_rows(self, rows: list[Any]) -> tuple[Arrays, int]:
        """Return the arrays, and how many keys and texts the rows are made of."""
        keys = 0
        if type(rows[0]) is self._record:
            rows, keys = self._lists_of(rows)
        if self._table is not None:
            inputs, texts = self._table.from_rows(rows)
            return inputs, keys + texts
        if self._is_matrix:
            return {self._names[0]: _to_array(self._specs[0], rows)}, keys
        lists = list(zip(*rows, strict=True))
        return {spec.name: _to_array(spec, values) for spec, values in zip(self._specs, lists, strict=True)}, keys

    def _lists_of(self, records: list[Any]) -> tuple[list[Any], int]:
        """Return the records as rows, absent values as ``None``, and how many keys they had."""
        rows: list[Any] = [msgspec.structs.astuple(record) for record in records]
        keys = len(rows) * len(self._specs)
        if self._has_nullable:
            absent = sum(row.count(UNSET) for row in rows)
            if absent:
                keys -= absent
                rows = [tuple([None if value is UNSET else value for value in row]) for row in rows]
        return [row[0] for row in rows] if self._is_matrix else rows, keys

    def _from_split(self, split: Any) -> tuple[Arrays, int]:
        shape = self._specs[0].shape
        is_wide_enough = self._is_matrix and len(shape) == 2 and len(split.columns) == shape[1]
        if not is_wide_enough and tuple(split.columns) != self._names:
            raise ValueError("columns in another order")
        inputs, strings = self._from_rows(split.data)
        return inputs, strings + 2 + len(split.columns) + (split.index is not UNSET)

    def _from_columns(self, columns: Any) -> tuple[Arrays, int, int]:
        lists = list(msgspec.structs.astuple(columns))
        n_rows = max(len(values) for values in lists if values is not UNSET)
        keys = len(lists) - lists.count(UNSET)
        lists = [[None] * n_rows if values is UNSET else values for values in lists]
        if n_rows == 0 or any(len(values) != n_rows for values in lists):
            raise ValueError("no rows, or columns that differ in length")
        if self._table is not None:
            inputs, texts = self._table.from_rows(list(zip(*lists, strict=True)))
            return inputs, keys + texts, n_rows
        return (
            {spec.name: _to_array(spec, values) for spec, values in zip(self._specs, lists, strict=True)},
            keys,
            n_rows,
        )


def _types_of(signature: ModelSignature) -> tuple[BodyTypes, Callable[[bytes], Any]]:
    """Return the types of bodies and what reads them; models with the same columns share them.

    They take as much memory as a small model and longer to build than to load one (36 kB and 0.5 ms for 30 columns),
    and are garbage that only the cyclic collector finds.
    """
    found = _shared.get(signature.inputs)
    if found is None:
        types = BodyTypes(signature)
        found = types, msgspec.json.Decoder(types.body).decode
        while len(_shared) >= _MAX_SHARED:
            _shared.pop(next(iter(_shared), ()), None)
        _shared[signature.inputs] = found
    return found


def _to_array(spec: TensorSpec, values: Any) -> np.ndarray[Any, Any]:
    if spec.dtype in ("string", "datetime"):
        raise ValueError("texts beside matrices are left to the exact reader")
    array = np.array(values, array_dtype(spec))
    if array.ndim != len(spec.shape):
        raise ValueError("ragged")
    return array
