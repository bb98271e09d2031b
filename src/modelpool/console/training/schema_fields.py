"""The fields of a form, from the JSON Schema of a trainer's parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django.utils.translation import gettext as _

Kind = Literal["integer", "number", "boolean", "choice", "text", "list", "columns", "json"]

_MOST_FIELDS = 200
_MOST_LEVELS = 3
_OTHER_NAMES = "other names"
_WORDS = re.compile(r"[_\-]+")


@dataclass(frozen=True, slots=True)
class SchemaField:
    """One parameter, or one within an object: ``optimizer.rate``.

    ``default`` is what holds when it is left empty; ``minimum`` and ``maximum`` are inclusive.
    """

    name: str
    kind: Kind
    description: str = ""
    default: Any = None
    is_required: bool = False
    is_optional: bool = False
    """Whether ``null`` is allowed: the trainer then decides by itself."""
    choices: Sequence[Any] = ()
    minimum: float | None = None
    maximum: float | None = None
    limits: str = ""
    """The bounds in words."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    """The titles of the objects that it is in, from outside."""

    @property
    def label(self) -> str:
        """``n_estimators`` as ``N estimators``, one within an object as ``Optimizer: rate``."""
        own = self.name.rpartition(".")[2] if self.within else self.name
        text = ": ".join([*self.within, str(self.schema.get("title") or _words_of(own))])
        return text[:1].upper() + text[1:]

    @property
    def path(self) -> list[str]:
        """Where the value stands: the names of the objects that it is in, and its own."""
        return self.name.split(".", len(self.within))

    @property
    def key(self) -> str:
        """The field's name in the form."""
        return f"param.{self.name}"

    @property
    def id(self) -> str:
        """The field's id in the page."""
        return f"param-{self.name}"

    @property
    def is_advanced(self) -> bool:
        """Whether the form folds it away: what the trainer chooses well by itself."""
        return not self.is_required and self.default in (None, [], {}) and self.kind != "columns"

    @property
    def step(self) -> str:
        """What a number may be a multiple of."""
        return "1" if self.kind == "integer" else "any"

    @property
    def default_text(self) -> str:
        """The default as it would be typed."""
        return "" if self.default is None or self.default == [] else text_of(self.default, kind=self.kind)


def fields_of(schema: Mapping[str, Any]) -> list[SchemaField]:
    """Return the fields in the schema's order, those of an object in its place; what is not understood is JSON."""
    return _fields(schema, path=(), within=())[:_MOST_FIELDS]


def _fields(schema: Mapping[str, Any], *, path: tuple[str, ...], within: tuple[str, ...]) -> list[SchemaField]:
    required = schema.get("required", ())
    found: list[SchemaField] = []
    for name, one in list(_properties(schema).items())[:_MOST_FIELDS]:
        outer = one if isinstance(one, dict) else {}
        inner, _is_optional = _without_null(outer)
        if _properties(inner) and len(within) < _MOST_LEVELS and "." not in name:
            title = str(outer.get("title") or inner.get("title") or _words_of(name))
            found += _fields(inner, path=(*path, name), within=(*within, title))
        else:
            found.append(_field(".".join((*path, name)), one, is_required=name in required, within=within))
    return found


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _words_of(name: str) -> str:
    return _WORDS.sub(" ", name).strip() or name


def text_of(value: Any, *, kind: Kind) -> str:
    """Return a value as it is typed into the form."""
    if value is None:
        return ""
    if kind == "list" and isinstance(value, list):
        return "\n".join(map(str, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _field(name: str, schema: Any, *, is_required: bool, within: tuple[str, ...]) -> SchemaField:
    outer = schema if isinstance(schema, dict) else {}
    inner, is_optional = _without_null(outer)
    kind = _kind(name, inner)
    minimum, maximum = _bound(inner, "minimum", "exclusiveMinimum"), _bound(inner, "maximum", "exclusiveMaximum")
    return SchemaField(
        name=name,
        kind=kind,
        description=str(outer.get("description") or inner.get("description") or ""),
        default=outer.get("default", inner.get("default")),
        is_required=is_required and not within,
        is_optional=is_optional,
        choices=tuple(inner.get("enum", ())) if kind == "choice" else (),
        minimum=minimum,
        maximum=maximum,
        limits=_limits(inner),
        schema={**inner, "title": outer.get("title") or ""},
        within=within,
    )


def _without_null(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return the one that people fill in of several alternatives, and whether nothing is one of them."""
    alternatives = [one for one in schema.get("anyOf", schema.get("oneOf", ())) if isinstance(one, dict)]
    kinds = schema.get("type")
    if isinstance(kinds, list):
        rest = [kind for kind in kinds if kind != "null"]
        return {**schema, "type": rest[0] if len(rest) == 1 else rest}, "null" in kinds
    if not alternatives:
        return schema, False
    real = [one for one in alternatives if one.get("type") != "null" and one.get("title") != _OTHER_NAMES]
    is_optional = any(one.get("type") == "null" for one in alternatives)
    return (real[0], is_optional) if len(real) == 1 else ({"anyOf": real}, is_optional)


def _kind(name: str, schema: Mapping[str, Any]) -> Kind:
    match schema:
        case {"enum": [*values]} if values:
            return "choice"
        case {"type": "integer" | "number" | "boolean" as plain}:
            return plain  # type: ignore[no-any-return]
        case {"type": "string"}:
            return "text"
        case {"type": "array", "items": {"type": "string"}}:
            return "columns" if name.endswith("columns") else "list"
        case _:
            return "json"


def _bound(schema: Mapping[str, Any], inclusive: str, exclusive: str) -> float | None:
    found = schema.get(inclusive, schema.get(exclusive))
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _limits(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": _("at least %(bound)s"),
        "exclusiveMinimum": _("more than %(bound)s"),
        "maximum": _("at most %(bound)s"),
        "exclusiveMaximum": _("less than %(bound)s"),
    }
    return ", ".join(
        text % {"bound": _written(schema[key])} for key, text in words.items() if _is_number(schema.get(key))
    )


def _written(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def split(fields: Iterable[SchemaField]) -> tuple[list[SchemaField], list[SchemaField]]:
    """Return those that everybody sees, and those that are folded."""
    known = list(fields)
    return [one for one in known if not one.is_advanced], [one for one in known if one.is_advanced]
