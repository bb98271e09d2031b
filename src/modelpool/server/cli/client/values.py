"""``--param name=value`` and the like: values as JSON where they are JSON, as text otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import typer


def parse_pairs(pairs: Iterable[str], *, option: str) -> dict[str, Any]:
    """Return ``{"n_estimators": 200}`` for ``["n_estimators=200"]``; a usage error names what has no ``=``."""
    values = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{pair!r} is not of the form name=value.", param_hint=option)
        values[name] = parse_value(text)
    return values


def parse_value(text: str) -> Any:
    """Return ``200`` for ``"200"``, ``True`` for ``"true"``, ``"forest"`` for ``"forest"``."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
