"""Bodies of every form, read value by value: what fits is returned, what does not is named with its path.

It is the definition of what is accepted; :mod:`~modelpool.core.codecs.json_fast` answers a part of it faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelpool.core.codecs.base import InferenceRequest, outputs_of_method
from modelpool.core.codecs.json_types import takes_matrix
from modelpool.core.codecs.strict_json import parse_json
from modelpool.core.codecs.values import ErrorList, build_array, describe
from modelpool.core.errors import FieldError, SignatureMismatch
from modelpool.core.formats.base import Arrays
from modelpool.core.signature import ModelSignature, TensorSpec

FORMS = ("instances", "inputs", "dataframe_split", "dataframe_records")


def read_exactly(body: bytes, signature: ModelSignature) -> InferenceRequest:
    """Return the request, or raise :class:`~modelpool.core.errors.Malformed` or
    :class:`~modelpool.core.errors.SignatureMismatch`.
    """
    tree = parse_json(body)
    if not isinstance(tree, dict):
        raise _wrong(
            "body",
            f"takes an object with one of {', '.join(FORMS)}, not {describe(tree)}",
            "wrong_type",
        )
    form = _choose_form(tree)
    outputs = outputs_of_method(signature, _read_method(tree.get("params")))
    inputs, n_rows = _READERS[form](tree[form], form, signature)
    return InferenceRequest(inputs, n_rows, outputs)


def _wrong(field: str, detail: str, code: str) -> SignatureMismatch:
    return SignatureMismatch(f"{field}: {detail}.", errors=[FieldError(field, detail, code)])


def _choose_form(tree: dict[str, Any]) -> str:
    for key in tree:
        if key not in FORMS and key != "params":
            raise _wrong(
                _shown(key),
                f"is not known here; send one of {', '.join(FORMS)}, and params",
                "unknown_field",
            )
    given = [form for form in FORMS if form in tree]
    if len(given) != 1:
        detail = f"takes exactly one of {', '.join(FORMS)}; {', '.join(given) or 'none'} given"
        raise _wrong("body", detail, "wrong_form")
    return given[0]


def _read_method(params: Any) -> str | None:
    if params is None:
        return None
    if not isinstance(params, dict):
        raise _wrong("params", f"takes an object, not {describe(params)}", "wrong_type")
    for key in params:
        if key != "method":
            raise _wrong(
                f"params.{_shown(key)}",
                "is not known here; params takes method",
                "unknown_field",
            )
    method = params.get("method")
    if method is not None and not isinstance(method, str):
        raise _wrong("params.method", f"takes a text, not {describe(method)}", "wrong_type")
    return method


def _read_rows(rows: Any, form: str, signature: ModelSignature) -> tuple[Arrays, int]:
    """Rows as lists in the order of the inputs, as objects in any order, or both."""
    if not isinstance(rows, list):
        raise _wrong(form, f"takes a list of rows, not {describe(rows)}", "wrong_type")
    errors = ErrorList()
    only_objects = form == "dataframe_records"
    table = [
        _read_row(
            row,
            f"{form}[{number}]",
            signature,
            only_objects=only_objects,
            errors=errors,
        )
        for number, row in enumerate(rows)
    ]
    errors.raise_if_any()
    arrays = {}
    for at, spec in enumerate(signature.inputs):
        field_of = _cell_path(rows, form, signature, spec=spec, at=at)
        arrays[spec.name] = build_array(spec, [row[at] for row in table], field_of=field_of, errors=errors)
    return arrays, len(rows)


def _read_row(
    row: Any,
    field: str,
    signature: ModelSignature,
    *,
    only_objects: bool,
    errors: ErrorList,
) -> list[Any]:
    specs = signature.inputs
    if isinstance(row, dict):
        return _read_object(row, field, specs, errors=errors)
    if isinstance(row, list) and not only_objects:
        if takes_matrix(signature):
            return [row]
        if len(row) == len(specs):
            return row
        errors.add(field, f"has {len(row)} values; the model takes {len(specs)}", "wrong_width")
    else:
        kinds = "an object" if only_objects else "a list or an object"
        errors.add(field, f"takes {kinds}, not {describe(row)}", "wrong_type")
    return [None] * len(specs)


def _read_object(row: dict[str, Any], field: str, specs: tuple[TensorSpec, ...], *, errors: ErrorList) -> list[Any]:
    for key in row.keys() - {spec.name for spec in specs}:
        errors.add(f"{field}.{_shown(key)}", "is not an input of this model", "unknown_column")
    for spec in specs:
        if spec.name not in row and not spec.nullable:
            errors.add(f"{field}.{spec.name}", "is missing", "missing_column")
    return [row.get(spec.name) for spec in specs]


def _cell_path(
    rows: list[Any], form: str, signature: ModelSignature, *, spec: TensorSpec, at: int
) -> Callable[[int], str]:
    def field_of(number: int) -> str:
        if not rows or isinstance(rows[number], dict):
            return f"{form}[{number}].{spec.name}"
        return f"{form}[{number}]" if takes_matrix(signature) else f"{form}[{number}][{at}]"

    return field_of


def _read_inputs(value: Any, form: str, signature: ModelSignature) -> tuple[Arrays, int]:
    """Columns by name, or a plain list of rows."""
    if not isinstance(value, dict):
        return _read_rows(value, form, signature)
    errors = ErrorList()
    for key in value.keys() - {spec.name for spec in signature.inputs}:
        errors.add(f"{form}.{_shown(key)}", "is not an input of this model", "unknown_column")
    for spec in signature.inputs:
        column = value.get(spec.name)
        if spec.name not in value and not spec.nullable:
            errors.add(f"{form}.{spec.name}", "is missing", "missing_column")
        elif spec.name in value and not isinstance(column, list):
            errors.add(
                f"{form}.{spec.name}",
                f"takes a list of values, not {describe(column)}",
                "wrong_type",
            )
    errors.raise_if_any()
    n_rows = _common_length(value, form)
    arrays = {}
    for spec in signature.inputs:
        column = value.get(spec.name, [None] * n_rows)
        arrays[spec.name] = build_array(spec, column, field_of=_column_path(form, spec), errors=errors)
    return arrays, n_rows


def _column_path(form: str, spec: TensorSpec) -> Callable[[int], str]:
    return lambda number: f"{form}.{spec.name}[{number}]"


def _common_length(columns: dict[str, list[Any]], form: str) -> int:
    if not columns:
        raise _wrong(form, "names no column", "missing_column")
    first, *others = columns
    for name in others:
        if len(columns[name]) != len(columns[first]):
            detail = f"has {len(columns[name])} rows, and {first!r} has {len(columns[first])}"
            raise _wrong(f"{form}.{name}", detail, "ragged")
    return len(columns[first])


def _read_split(value: Any, form: str, signature: ModelSignature) -> tuple[Arrays, int]:
    """``columns`` in any order and ``data``; an ``index`` is accepted and has no meaning."""
    if not isinstance(value, dict):
        raise _wrong(
            form,
            f"takes an object with columns and data, not {describe(value)}",
            "wrong_type",
        )
    for key in value.keys() - {"columns", "data", "index"}:
        raise _wrong(
            f"{form}.{_shown(key)}",
            "is not known here; it takes columns, data and index",
            "unknown_field",
        )
    columns, data = value.get("columns"), value.get("data")
    for name, part in (
        ("columns", columns),
        ("data", data),
        ("index", value.get("index", [])),
    ):
        if not isinstance(part, list):
            raise _wrong(f"{form}.{name}", f"takes a list, not {describe(part)}", "wrong_type")
    assert isinstance(columns, list)
    assert isinstance(data, list)
    spec = signature.inputs[0]
    if takes_matrix(signature) and columns != [spec.name]:
        return _read_matrix_split(columns, data, form, signature)
    return _read_rows_by_column(columns, data, form, signature)


def _read_matrix_split(columns: list[Any], data: list[Any], form: str, signature: ModelSignature) -> tuple[Arrays, int]:
    """The columns of a matrix have no names: those given only have to be as many."""
    spec = signature.inputs[0]
    if len(spec.shape) != 2 or spec.shape[1] not in (len(columns), -1):
        raise _wrong(
            f"{form}.columns",
            f"names {len(columns)} columns; {spec.name!r} is {list(spec.shape)}",
            "wrong_width",
        )
    array = build_array(spec, data, field_of=lambda number: f"{form}.data[{number}]", errors=ErrorList())
    return {spec.name: array}, len(data)


def _read_rows_by_column(
    columns: list[Any], data: list[Any], form: str, signature: ModelSignature
) -> tuple[Arrays, int]:
    errors = ErrorList()
    position = _positions(columns, form, signature, errors=errors)
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            errors.add(
                f"{form}.data[{number}]",
                f"takes a list of {len(columns)} values, not {describe(row)}",
                "wrong_width",
            )
    errors.raise_if_any()
    arrays = {}
    for spec in signature.inputs:
        at = position.get(spec.name)
        values = [None if at is None else row[at] for row in data]
        arrays[spec.name] = build_array(spec, values, field_of=_split_path(form, at), errors=errors)
    return arrays, len(data)


def _positions(columns: list[Any], form: str, signature: ModelSignature, *, errors: ErrorList) -> dict[str, int]:
    known = {spec.name for spec in signature.inputs}
    position: dict[str, int] = {}
    for at, name in enumerate(columns):
        if not isinstance(name, str) or name not in known:
            shown = _shown(name) if isinstance(name, str) else describe(name)
            errors.add(
                f"{form}.columns[{at}]",
                f"{shown} is not an input of this model",
                "unknown_column",
            )
        elif name in position:
            errors.add(f"{form}.columns[{at}]", f"{name!r} occurs twice", "duplicate_column")
        else:
            position[name] = at
    for spec in signature.inputs:
        if spec.name not in position and not spec.nullable:
            errors.add(f"{form}.columns", f"{spec.name!r} is missing", "missing_column")
    errors.raise_if_any()
    return position


def _split_path(form: str, at: int | None) -> Callable[[int], str]:
    return lambda number: f"{form}.data[{number}][{at}]"


def _shown(key: str) -> str:
    """A client's own key, cut so that an answer stays short."""
    return key if len(key) <= 80 else key[:80] + "…"


_READERS: dict[str, Callable[[Any, str, ModelSignature], tuple[Arrays, int]]] = {
    "instances": _read_rows,
    "inputs": _read_inputs,
    "dataframe_split": _read_split,
    "dataframe_records": _read_rows,
}
