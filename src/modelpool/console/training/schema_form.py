"""A form of a trainer's parameters: what was typed, as values, and complaints by field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from modelpool.console.training.schema_fields import SchemaField, fields_of, split, text_of
from modelpool.core.errors import Invalid

_MOST_CHARACTERS = 10_000
_MAX_DIGITS = 30


@dataclass(frozen=True, slots=True)
class Row:
    """A field as one page shows it."""

    field: SchemaField
    text: str
    chosen: frozenset[str] = frozenset()
    error: str = ""


@dataclass(slots=True)
class ParamsForm:
    """The form of one trainer for one table, filled with ``initial`` values or with what was ``posted``."""

    schema: Mapping[str, Any]
    columns: Sequence[str] = ()
    initial: Mapping[str, Any] = field(default_factory=dict)
    posted: QueryDict | None = None
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def basic(self) -> list[Row]:
        """The fields that everybody sees."""
        return [self._row(one) for one in split(fields_of(self.schema))[0]]

    @property
    def advanced(self) -> list[Row]:
        """The fields that are folded."""
        return [self._row(one) for one in split(fields_of(self.schema))[1]]

    @property
    def is_advanced_open(self) -> bool:
        """Whether a folded field has something to say."""
        return any(row.error or row.text for row in self.advanced)

    def values(self) -> dict[str, Any]:
        """Return what was typed; what was left empty is left to the trainer. Complaints go to ``errors``."""
        found: dict[str, Any] = {}
        for one in fields_of(self.schema):
            try:
                typed = self._typed(one)
            except ValueError as error:
                self.errors[one.name] = str(error)
                continue
            if typed is not None:
                _put(found, one.path, typed)
        return found

    def take_errors(self, error: Invalid) -> list[str]:
        """Put complaints of the service to their fields; return those of no field of this form."""
        names = sorted((one.name for one in fields_of(self.schema)), key=len, reverse=True)
        rest = []
        for one in error.errors:
            at = one.field.removeprefix("params.").partition("[")[0]
            name = next((name for name in names if f"{at}.".startswith(f"{name}.")), None)
            if one.field.startswith("params.") and name is not None:
                self.errors[name] = one.detail[:1].upper() + one.detail[1:]
            else:
                rest.append(f"{one.field}: {one.detail}")
        return rest or ([] if error.errors else [str(error)])

    def _row(self, one: SchemaField) -> Row:
        chosen: frozenset[str] = frozenset()
        if self.posted is not None:
            text = self.posted.get(one.key, "")
            chosen = frozenset(self.posted.getlist(one.key))
        else:
            value = _at(self.initial, one.path)
            text = text_of(value, kind=one.kind)
            chosen = frozenset(map(str, value)) if isinstance(value, list) else frozenset()
        return Row(one, text, chosen, self.errors.get(one.name, ""))

    def _typed(self, one: SchemaField) -> Any:
        """Return the value, ``None`` where nothing was typed; raise ``ValueError`` with advice."""
        assert self.posted is not None
        if one.kind == "columns":
            return [name.replace("\x00", "") for name in self.posted.getlist(one.key)] or None
        text = self.posted.get(one.key, "").replace("\x00", "").strip()
        if not text:
            if one.is_required:
                raise ValueError(_("This trainer needs a value here."))
            return None
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(_("This is too long."))
        return _read(one, text)


def _put(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _at(values: Any, path: Sequence[str]) -> Any:
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def _read(one: SchemaField, text: str) -> Any:
    match one.kind:
        case "integer":
            return _integer(text)
        case "number":
            return _number(text)
        case "boolean":
            return text == "true"
        case "choice":
            return next((value for value in one.choices if text_of(value, kind="choice") == text), text)
        case "list":
            return [line.strip() for line in text.splitlines() if line.strip()]
        case "json":
            return _json(text)
        case _:
            return text


def _integer(text: str) -> int:
    try:
        if len(text) <= _MAX_DIGITS:
            return int(text)
    except ValueError:
        """Said below."""
    raise ValueError(_("Write a whole number, such as 100."))


def _number(text: str) -> float | int:
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError as error:
        raise ValueError(_("Write a number, such as 0.1.")) from error
    if value != value or abs(value) == float("inf"):
        raise ValueError(_("Write a finite number, such as 0.1."))
    return value


def _json(text: str) -> Any:
    """Return the JSON value; a plain word, which is none, is a text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if text[:1] in '[{"':
            raise ValueError(_('Write JSON, such as {"a": 1} or ["x", "y"].')) from error
        return text
