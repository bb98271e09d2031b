"""Which types a column of text allows. Nothing is guessed: what is not plainly a number or an ISO date is text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelpool.training.tables.chunks import ALL_KINDS, ColumnChunk, Kind

if TYPE_CHECKING:
    import pyarrow as pa

MISSING_MARKERS = (
    "", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "-nan", "-NaN", "null", "NULL", "Null", "None", "none", "NONE",
    "<NA>", "#N/A", "#NA", "#N/A N/A", "#NULL!", "NaT",
)  # fmt: skip
"""Cells of a CSV file that mean "no value", blanks around them aside: pandas' list, and a few spellings more."""

_BOOL = r"^(?i:true|false)$"
_INT = r"^-?(0|[1-9][0-9]{0,18})$"
# Digits alone are a decimal number only up to 18 of them: a longer one is an identifier, as is one with leading zeros.
_FLOAT = (
    r"^[+-]?((0|[1-9][0-9]{0,17})|(0|[1-9][0-9]*)?\.[0-9]+|(0|[1-9][0-9]*)\."
    r"|((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)[eE][+-]?[0-9]+|(?i:inf|infinity))$"
)
_DATETIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
_DECIMAL_COMMA = r"^[+-]?[0-9]{1,3}((\.[0-9]{3})*|[0-9]*),[0-9]+$"


def cells_to_chunk(cells: pa.Array) -> ColumnChunk:
    """Read cells of a CSV file, ``(n_rows,)`` strings: markers become missing, and all types are possible."""
    import pyarrow.compute as pc

    stripped = pc.utf8_trim_whitespace(cells)
    missing = pc.is_in(stripped, value_set=_markers())
    kinds = _kinds_of(pc.if_else(missing, None, stripped))
    return ColumnChunk(pc.if_else(missing, None, cells), kinds)


def text_to_chunk(texts: pa.Array) -> ColumnChunk:
    """Read strings of a typed file: only ``""`` is missing, and only a date may be told from the text."""
    import pyarrow.compute as pc

    present = pc.if_else(pc.equal(texts, ""), None, texts)
    return ColumnChunk(present, _kinds_of(present, among=frozenset({"datetime"})))


def parse_datetimes(texts: pa.Array) -> np.ndarray[Any, Any]:
    """Return float64 seconds since 1970 UTC, NaN for missing; no zone means UTC. ``ValueError`` for what is no date."""
    import pandas as pd

    series = pd.Series(texts.to_pylist(), dtype=object).str.strip()
    series = series.str.replace(r"[.,](\d{1,6})\d*", r".\1", regex=True)
    moments = (
        pd.to_datetime(series, format="ISO8601", utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    )
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1e6)


def has_decimal_commas(texts: pa.Array) -> bool:
    """Say whether every value looks like ``3,14``: a number to people in half of the world, but text to us."""
    import pyarrow.compute as pc

    present = pc.drop_null(pc.utf8_trim_whitespace(texts))
    return len(present) > 0 and bool(pc.all(pc.match_substring_regex(present, _DECIMAL_COMMA)).as_py())


def _kinds_of(texts: pa.Array, *, among: frozenset[Kind] = ALL_KINDS) -> frozenset[Kind]:
    import pyarrow.compute as pc

    present = pc.drop_null(pc.utf8_trim_whitespace(texts))
    if len(present) == 0:
        return ALL_KINDS
    checks = {"bool": _BOOL, "int64": _INT, "float64": _FLOAT, "datetime": _DATETIME}
    matching = {kind for kind in among if pc.all(pc.match_substring_regex(present, checks[kind])).as_py()}
    if "int64" in matching and not _fits_int64(present):
        matching -= {"int64", "float64"}
    if "datetime" in matching and not _are_dates(present):
        matching.discard("datetime")
    return frozenset(matching)


def _fits_int64(digits: pa.Array) -> bool:
    import pyarrow as pa

    try:
        digits.cast(pa.int64())
    except pa.ArrowInvalid:
        return False
    return True


def _are_dates(texts: pa.Array) -> bool:
    try:
        parse_datetimes(texts)
    except (ValueError, OverflowError):
        return False
    return True


def _markers() -> pa.Array:
    import pyarrow as pa

    return pa.array(MISSING_MARKERS, pa.string())
