"""How results and errors are printed: tables for people, JSON for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from modelpool.core.errors import ModelpoolError

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def print_json(document: Any) -> None:
    """Print one JSON document, indented, to standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def print_rows(rows: Iterable[Mapping[str, Any]], *, columns: Sequence[str], as_json: bool) -> None:
    """Print rows: a table with these columns, or all their fields as a JSON list."""
    rows = list(rows)
    if as_json:
        print_json(rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(show(row.get(column)) for column in columns))
    _console.print(table) if rows else _console.print("none", style="dim")


def print_fields(document: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing: a line for each field, or JSON."""
    if as_json:
        print_json(document)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in document.items():
        table.add_row(name.replace("_", " "), _lines(value))
    _console.print(table)


def tell(sentence: str, *, as_json: bool = False) -> None:
    """Print a sentence for people to standard error, where it does not get into a program's input."""
    if not as_json:
        print(sentence, file=sys.stderr)


def print_error(error: ModelpoolError) -> None:
    """Print the sentence and the wrong fields to standard error."""
    print(f"modelpool: {error.detail}", file=sys.stderr)
    for item in error.errors:
        if item.detail not in error.detail:
            print(f"  {item.field}: {item.detail}", file=sys.stderr)


def _lines(value: Any) -> str:
    """Give each item of a list of things, and each part of a thing that holds such lists, a line of its own."""
    if isinstance(value, Mapping) and any(_is_things(item) or isinstance(item, Mapping) for item in value.values()):
        return "\n".join(f"{name}: {_indented(item)}" for name, item in value.items() if item is not None)
    return "\n".join(show(item) for item in value) if _is_things(value) else show(value)


def _indented(value: Any) -> str:
    return "".join(f"\n  {show(item)}" for item in value) if _is_things(value) else show(value)


def _is_things(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def show(value: Any) -> str:
    """Return a value as people read it in a table."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, str) and _TIME.fullmatch(value):
        return value[:19].replace("T", " ")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={show(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return ", ".join(show(item) for item in value)
    return str(value)
