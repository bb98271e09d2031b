"""Values of a column, text or typed, to the NumPy arrays of ``Run.data``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.training.tables.chunks import Kind
from modelpool.training.tables.text_kinds import parse_datetimes

if TYPE_CHECKING:
    import pyarrow as pa


def to_array(values: pa.Array, *, kind: Kind) -> np.ndarray[Any, Any]:
    """Return ``(n_rows,)``: float64 with NaN for missing (datetimes as seconds since 1970 UTC), or objects with ``""``.

    int64 and bool come as such where nothing is missing; else int64 as float64, and bool as text, because neither
    has a value that says "missing".
    """
    if kind == "datetime":
        return _to_seconds(values)
    if kind == "string" or (kind == "bool" and values.null_count):
        return _to_objects(values)
    if kind == "bool":
        return _to_bools(values)
    if kind == "int64" and not values.null_count:
        return np.asarray(_cast(values, "int64").to_numpy(zero_copy_only=False))
    return _to_floats(values)


def _to_floats(values: pa.Array) -> np.ndarray[Any, Any]:
    floats = _cast(values, "float64").to_numpy(zero_copy_only=False)
    return np.asarray(floats, dtype=np.float64)


def _to_bools(values: pa.Array) -> np.ndarray[Any, Any]:
    import pyarrow.compute as pc

    truths = pc.equal(pc.utf8_lower(pc.utf8_trim_whitespace(values)), "true") if _is_text(values) else values
    return np.asarray(truths.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _to_objects(values: pa.Array) -> np.ndarray[Any, Any]:
    import pyarrow.compute as pc

    texts = values if _is_text(values) else _cast(values, "string")
    return np.asarray(pc.fill_null(texts, "").to_numpy(zero_copy_only=False), dtype=object)


def _to_seconds(values: pa.Array) -> np.ndarray[Any, Any]:
    import pyarrow as pa

    if _is_text(values):
        return parse_datetimes(values)
    micros = values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.asarray(micros.to_numpy(zero_copy_only=False), dtype=np.float64) / 1e6


def _cast(values: pa.Array, name: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    target = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}[name]
    texts = pc.utf8_trim_whitespace(values) if _is_text(values) else values
    return texts.cast(target, safe=False)


def _is_text(values: pa.Array) -> bool:
    import pyarrow as pa

    return bool(values.type == pa.string())
