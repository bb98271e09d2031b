"""What every reader yields: some rows of each column, with the types that all their values still allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from modelpool.core.errors import BadTrainingData

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["bool", "int64", "float64", "datetime", "string"]

PREFERENCE: tuple[Kind, ...] = ("bool", "int64", "float64", "datetime")
"""The order in which a column takes the first type that all its values allow; else it is text."""

ALL_KINDS: frozenset[Kind] = frozenset(PREFERENCE)

MAX_COLUMNS = 10_000


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """Some values of one column: text as written or an Arrow type, ``null`` where missing.

    ``kinds`` are the types other than text that every value allows; all of them when no value is present.
    """

    values: pa.Array
    kinds: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class TableChunk:
    """Some consecutive rows; a column that is not there is missing in all of them."""

    n_rows: int
    columns: dict[str, ColumnChunk]


@dataclass(frozen=True, slots=True)
class TableSource:
    """A file that is being read.

    ``names`` are the columns known from the start (all of them, but for JSON lines); ``skipped`` says for columns
    that cannot be used, why.
    """

    names: tuple[str, ...]
    chunks: Iterator[TableChunk]
    skipped: tuple[str, ...] = ()


def pick_kind(kinds: frozenset[Kind]) -> Kind:
    """Return the type of a column whose values allow ``kinds``."""
    return next((kind for kind in PREFERENCE if kind in kinds), "string")


def check_names(names: Sequence[str], *, place: str) -> tuple[str, ...]:
    """Return the stripped names, or raise for one that is empty or there twice; ``place`` says where they stand."""
    stripped = tuple(name.strip() for name in names)
    for position, name in enumerate(stripped, start=1):
        if not name:
            raise BadTrainingData(
                f"Column {position} has no name in {place}; name every column "
                "(pandas writes such a column for its index: use to_csv(index=False))."
            )
    twice = [name for name, count in Counter(stripped).items() if count > 1]
    if twice:
        raise BadTrainingData(f"Column names must differ, but {place} has {_quoted(twice)} more than once; rename one.")
    if len(stripped) > MAX_COLUMNS:
        raise BadTrainingData(f"The table has {len(stripped)} columns; at most {MAX_COLUMNS} can be read.")
    return stripped


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:10])
