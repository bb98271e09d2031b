"""The form of a model's inputs, made from its signature and what is known of the data it was trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from modelpool.console.versions.pasted import json_in
from modelpool.core.codecs.values import ValueProblem, value_checker
from modelpool.core.signature import ModelSignature, TensorSpec

_MOST_CHOICES = 10
MOST_FIELDS = 500
"""Inputs of a form; a row of more is pasted. ``DATA_UPLOAD_MAX_NUMBER_FIELDS`` lets so many through."""
_CUT_CHARS = 100
"""The profile of a dataset cuts values at so many characters: such a value is no choice."""

Column = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that can be chosen."""

    value: str
    text: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Field:
    """One input: how it is asked for, and what stands in it."""

    name: str
    """As it is posted: inputs are numbered, their own names may be anything."""
    label: str
    kind: str
    """number, whole, text, choice, datetime or list."""
    value: str
    is_required: bool
    hint: str = ""
    choices: Sequence[Choice] = ()
    suggestions: Sequence[str] = ()
    problem: str = ""

    @property
    def id(self) -> str:
        """The id of the element."""
        return f"try-{self.name}"


def fields_of(
    signature: ModelSignature, columns: Sequence[Column], *, typed: Mapping[str, str], problems: Mapping[str, str]
) -> list[Field]:
    """Return a field for each input, filled with what was ``typed``, or with an example to begin with."""
    known = {str(column.get("name")): column for column in columns if isinstance(column, Mapping)}
    found = []
    for position, spec in enumerate(signature.inputs):
        name, column = f"i{position}", known.get(spec.name, {})
        value = typed.get(name) if name in typed else _as_typed(_example(signature, spec, column), spec)
        found.append(_field(spec, column, name=name, value=value or "", problem=problems.get(spec.name, "")))
    return found


def row_of(signature: ModelSignature, typed: Mapping[str, str]) -> dict[str, Any]:
    """Return what was typed as a row on the wire; what is no number stays text, for the model's reader to refuse."""
    return {spec.name: _to_wire(typed.get(f"i{at}", ""), spec) for at, spec in enumerate(signature.inputs)}


def problems_of(signature: ModelSignature, row: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with each value of a row, by the name of its input: the reader stops at the first."""
    found = {}
    for spec in signature.inputs:
        if spec.is_column:
            try:
                value_checker(spec)(row.get(spec.name))
            except ValueProblem as problem:
                found[spec.name] = str(problem)
    return found


def _field(spec: TensorSpec, column: Column, *, name: str, value: str, problem: str) -> Field:
    texts = [str(pair[0]) for pair in column.get("top") or () if pair]
    kind, choices = _KINDS.get(spec.dtype, "text"), list[Choice]()
    if not spec.is_column:
        kind = "list"
    elif spec.dtype == "bool":
        kind, choices = "choice", _choices({"true": _("yes"), "false": _("no")}, value, spec)
    elif spec.dtype == "string" and _are_all(texts, column):
        kind, choices = "choice", _choices({text: text for text in sorted(texts)}, value, spec)
    elif spec.dtype != "string":
        kind = "whole" if spec.numpy_dtype.kind in "iu" and spec.dtype != "datetime" else kind
    suggestions = [text for text in texts if len(text) < _CUT_CHARS] if kind == "text" else []
    is_required = not spec.nullable and spec.dtype != "string"
    return Field(name, spec.name, kind, value, is_required, _hint(spec, column), choices, suggestions, problem)


_KINDS = {"string": "text", "datetime": "datetime", "float16": "number", "float32": "number", "float64": "number"}


def _are_all(texts: Sequence[str], column: Column) -> bool:
    """Say whether the most frequent values are all there are."""
    is_whole = column.get("distinct") == len(texts) and not column.get("is_distinct_capped")
    return bool(texts) and is_whole and len(texts) <= _MOST_CHOICES and all(len(text) < _CUT_CHARS for text in texts)


def _choices(texts: Mapping[str, str], value: str, spec: TensorSpec) -> list[Choice]:
    offered = dict(texts) if value in texts or not value else {value: value, **texts}
    found = [Choice(text, shown, text == value) for text, shown in offered.items()]
    return [Choice("", _("missing"), not value), *found] if spec.nullable or not value else found


def _hint(spec: TensorSpec, column: Column) -> str:
    """Say what is expected, and what was there in training."""
    said = []
    if not spec.is_column:
        shape = " × ".join("n" if size < 0 else str(size) for size in spec.shape[1:])
        said.append(_("%(shape)s numbers, as a JSON list or separated by commas.") % {"shape": shape})
    if spec.dtype == "datetime":
        said.append(_("UTC."))
    low, high = column.get("min"), column.get("max")
    if low is not None and high is not None and spec.is_column and spec.dtype not in ("bool", "string"):
        said.append(_("In training %(low)s to %(high)s.") % {"low": _short(low), "high": _short(high)})
    if spec.nullable:
        said.append(_("May be missing."))
    return " ".join(said)


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | int) else str(value)[:10]


def _example(signature: ModelSignature, spec: TensorSpec, column: Column) -> Any:
    """The model's own example, else what is usual in the data, else something harmless."""
    if signature.example is not None and spec.name in signature.example:
        return signature.example[spec.name]
    if spec.nullable:
        return None
    if not spec.is_column:
        return _zeros(spec.shape[1:])
    usual = (
        column.get("mean") if spec.dtype not in ("bool", "string") else next(iter(column.get("top") or ()), [None])[0]
    )
    if isinstance(usual, float) and spec.numpy_dtype.kind in "iu":
        usual = round(usual)
    return usual if usual is not None else _HARMLESS.get(spec.dtype, 0)


_HARMLESS: Mapping[str, Any] = {"bool": False, "string": "", "datetime": "2000-01-01T00:00:00"}


def _zeros(shape: Sequence[int]) -> Any:
    value: Any = 0
    for size in reversed(shape):
        value = [value] * min(max(size, 1), 1000)
    return value


def _as_typed(value: Any, spec: TensorSpec) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if spec.dtype == "datetime":
        return str(value).removesuffix("Z").removesuffix("+00:00")
    return str(value)


def _to_wire(text: str, spec: TensorSpec) -> Any:
    if not spec.is_column:
        return _list(text)
    if spec.dtype == "string":
        return None if not text and spec.nullable else text
    text = text.strip()
    if not text:
        return None
    if spec.dtype == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text if spec.dtype == "datetime" else _number(text)


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def _list(text: str) -> Any:
    if text.lstrip().startswith("["):
        try:
            return json_in(text)
        except ValueError:
            return text
    return [_number(part.strip()) for part in text.replace(";", ",").replace("\n", ",").split(",") if part.strip()]
