"""Filters of lists: a parameter's text to a checked value and a fixed lookup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from django.db.models import Model, QuerySet
from django.db.models.lookups import Exact

from modelpool.core.errors import InvalidField
from modelpool.http.json_columns import ValueUnder

M = TypeVar("M", bound=Model)

MOST_CHARS = 8000
"""Of a parameter: SQLite refuses to search for a text of more than 50,000 bytes."""
_AwareDatetime = Annotated[datetime, msgspec.Meta(tz=True)]


def parse_moment(text: str) -> datetime:
    """Return a moment in UTC: databases refuse zones that Python allows, such as +23:00.

    Raises ``ValueError`` for a text that is no moment with a zone, and for one that UTC's calendar does not have.
    """
    moment: datetime = msgspec.convert(text, _AwareDatetime)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(text) from error


@dataclass(frozen=True, slots=True)
class Filter:
    """``lookup`` is Django's; ``parse`` raises ``ValueError`` for a text that ``wants`` does not describe."""

    lookup: str
    parse: Callable[[str], Any] = str
    wants: str = "a text"
    schema: dict[str, Any] | None = None

    def apply(self, rows: QuerySet[M], *, name: str, value: str) -> QuerySet[M]:
        """Return the rows that pass; raise 422 that names the parameter."""
        check_length(value, name=name)
        try:
            parsed = self.parse(value)
        except (ValueError, msgspec.ValidationError) as error:
            raise InvalidField(name, f"{value[:80]!r} is not {self.wants}.") from error
        return rows.filter(**{self.lookup: parsed})


def check_length(value: str, *, name: str) -> None:
    """Raise 422 that names the parameter for a text that is longer than any that a list has."""
    if len(value) > MOST_CHARS:
        raise InvalidField(name[:80], f"is longer than {MOST_CHARS} characters.")


def one_of(lookup: str, choices: list[str]) -> Filter:
    """Take one of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return Filter(lookup, parse, f"one of {', '.join(choices)}", {"type": "string", "enum": choices})


def text(lookup: str) -> Filter:
    """Take any text."""
    return Filter(lookup, str, "a text", {"type": "string"})


def boolean(lookup: str) -> Filter:
    """Take ``true`` or ``false``."""

    def parse(text: str) -> bool:
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"

    return Filter(lookup, parse, "true or false", {"type": "boolean"})


def identifier(lookup: str) -> Filter:
    """Take a UUID."""
    return Filter(lookup, UUID, "a UUID", {"type": "string", "format": "uuid"})


def moment(lookup: str) -> Filter:
    """Take a date with time and zone, RFC 3339."""

    def parse(text: str) -> datetime:
        return parse_moment(text.replace(" ", "+"))

    return Filter(lookup, parse, "a date such as 2026-01-31T12:00:00Z", {"type": "string", "format": "date-time"})


def by_tag(rows: QuerySet[M], key: str, value: str) -> QuerySet[M]:
    """Keep rows whose tag ``key`` has that value (``?tags.stage=test``)."""
    return rows.filter(Exact(ValueUnder("tags", key), value))
