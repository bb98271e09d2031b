"""The types that msgspec reads a prediction's body into, built once for each signature."""

from __future__ import annotations

from types import GenericAlias
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from modelpool.core.signature import ModelSignature, TensorSpec

_EXACT = 2**53
"""Tables hold numbers as float64; whole numbers beyond this are left to the exact reader, which keeps their type."""


class Params(msgspec.Struct, forbid_unknown_fields=True):
    """``params`` of a request."""

    method: str | UnsetType = UNSET


class BodyTypes:
    """``row``: one row as a list. ``record``: one row as an object. ``body``: the whole request.

    Raises ``TypeError`` or ``ValueError`` for signatures that msgspec has no type for, such as columns with a quotation
    mark in their name.
    """

    def __init__(self, signature: ModelSignature) -> None:
        specs = signature.inputs
        values: list[Any] = [value_type(spec) for spec in specs]
        self.row: Any = values[0] if takes_matrix(signature) else GenericAlias(tuple, tuple(values))
        self.record: Any = _struct_of("Record", specs, values)
        self.columns: Any = _struct_of("Columns", specs, [_list_of(value) for value in values])
        forms: dict[str, Any] = {
            "instances": _list_of(self.row | self.record),
            "inputs": _list_of(self.row) | self.columns,
            "dataframe_split": _split_of(_list_of(self.row)),
            "dataframe_records": _list_of(self.record),
            "params": Params,
        }
        fields = [(name, kind | UnsetType, UNSET) for name, kind in forms.items()]
        self.body = msgspec.defstruct("Body", fields, forbid_unknown_fields=True)


def takes_matrix(signature: ModelSignature) -> bool:
    """Say whether the model takes one matrix, so that a row given as a list is a row of it."""
    return len(signature.inputs) == 1 and not signature.inputs[0].is_column


def value_type(spec: TensorSpec) -> Any:
    """Return the type of one row's value: a number, a text, or nested lists of them."""
    kind = _scalar_type(spec)
    if spec.nullable:
        kind = kind | None
    for size in reversed(spec.shape[1:]):
        kind = _list_of(kind) if size < 0 else Annotated[_list_of(kind), Meta(min_length=size, max_length=size)]
    return kind


def _scalar_type(spec: TensorSpec) -> Any:
    if spec.dtype in ("string", "datetime"):
        return str
    if spec.dtype == "bool":
        return bool
    if spec.dtype == "float64":
        return float
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        largest = float(np.finfo(dtype).max)
        return Annotated[float, Meta(ge=-largest, le=largest)]
    info = np.iinfo(dtype)
    return Annotated[int, Meta(ge=max(int(info.min), -_EXACT), le=min(int(info.max), _EXACT))]


def _list_of(kind: Any) -> Any:
    return GenericAlias(list, (kind,))


def _split_of(rows: Any) -> Any:
    fields: list[Any] = [("columns", list[str]), ("data", rows), ("index", list[int] | UnsetType, UNSET)]
    return msgspec.defstruct("Split", fields, forbid_unknown_fields=True)


def _struct_of(name: str, specs: tuple[TensorSpec, ...], kinds: list[Any]) -> type[msgspec.Struct]:
    """Return a struct with one field per input, in order; nullable ones may be absent, and are then ``UNSET``."""
    fields: list[Any] = []
    for at, (spec, kind) in enumerate(zip(specs, kinds, strict=True)):
        fields.append((f"c{at}", kind | UnsetType, UNSET) if spec.nullable else (f"c{at}", kind))
    rename = {f"c{at}": spec.name for at, spec in enumerate(specs)}
    return msgspec.defstruct(name, fields, rename=rename, forbid_unknown_fields=True, kw_only=True)
