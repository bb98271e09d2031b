"""The names of a table's columns on the wire: left out where they are the signature's, as they nearly always are."""

from __future__ import annotations

from collections.abc import Sequence

from modelpool.core.formats.base import TableArrays
from modelpool.core.signature import ModelSignature

TableNames = tuple[tuple[str, ...], tuple[str, ...]]
"""Of the columns of numbers, and of those of text."""


def table_names(signature: ModelSignature) -> TableNames:
    """Return the names that both sides know, in the signature's order."""
    numbers = tuple(spec.name for spec in signature.inputs if spec.dtype != "string")
    texts = tuple(spec.name for spec in signature.inputs if spec.dtype == "string")
    return numbers, texts


def names_to_send(table: TableArrays, known: TableNames) -> list[list[str]]:
    """Return what a frame says of a table's names: nothing where the other side knows them."""
    names = (tuple(table.number_names), tuple(table.text_names))
    return [] if names == known else [list(part) for part in names]


def names_sent(said: Sequence[Sequence[str]], known: TableNames) -> TableNames:
    """Return the names that a frame says, or leaves out."""
    if not said:
        return known
    numbers, texts = said
    return tuple(numbers), tuple(texts)
