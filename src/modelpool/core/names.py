"""The grammar of names that people choose for tenants, models and aliases."""

from __future__ import annotations

import re

from modelpool.core.errors import FieldError, InvalidName

NAME_PATTERN = r"[a-z0-9][a-z0-9_-]{0,62}"
_NAME = re.compile(NAME_PATTERN)

RESERVED_NAMES = frozenset({"stats"})
"""Shadowed by fixed routes of the Open Inference Protocol (``/v2/models/stats``)."""


def is_name(value: object) -> bool:
    """Say whether ``value`` may name a tenant, a model or an alias."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None and value not in RESERVED_NAMES


def check_name(value: str, *, field: str = "name") -> str:
    """Return ``value`` unchanged, or raise :class:`InvalidName` that names ``field``; names are never repaired."""
    if is_name(value):
        return value
    reason = "is reserved" if value in RESERVED_NAMES else f"does not match {NAME_PATTERN}"
    advice = "use 1 to 63 lower-case letters, digits, '-' and '_', beginning with a letter or digit."
    detail = f"{str(value)[:80]!r} {reason}; {advice}"
    raise InvalidName(detail, errors=[FieldError(field, detail, "invalid_name")])
