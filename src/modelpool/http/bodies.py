"""From a request's bytes to checked values: strict JSON, then a frozen struct that names what does not fit."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from django.http import HttpRequest

from modelpool.core.codecs.strict_json import parse_json
from modelpool.core.errors import FieldError, Invalid, LengthRequired, Malformed, TooLarge, UnsupportedMediaType
from modelpool.http.body_stream import content_length

S = TypeVar("S", bound="Body")

_LONG_INTEGER = re.compile(rb"\d{19,}")
_AT = re.compile(r" - at `(?:key in )?\$?\.?(.*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`")
_MISSING = re.compile(r"Object missing required field `(.*?)`")
_BOUND = re.compile(r"Expected `(?:int|float)` ([<>]=?) (\S+)")
_BOUNDS = {"<=": "at most", ">=": "at least", "<": "less than", ">": "more than"}


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of what a request's JSON may hold; a field that is not declared is refused by name."""


def media_type_of(request: HttpRequest) -> str:
    """Return the content type without its parameters, in lower case; ``""`` when none is sent."""
    return (request.content_type or "").lower()


def read_json(request: HttpRequest, kind: type[S], *, limit_bytes: int) -> S:
    """Return the checked body; an empty body is ``{}``.

    Raises 415 for another content type, 413, 400 for what is not strict JSON, 422 for what does not fit ``kind``.
    """
    length = content_length(request)
    if length > limit_bytes:
        raise TooLarge(limit_bytes)
    body = request.body if length else b""
    if body and media_type_of(request) != "application/json":
        raise UnsupportedMediaType("Send JSON, with the header 'Content-Type: application/json'.")
    return check(parse_strictly(body) if body else {}, kind)


def parse_strictly(body: bytes) -> Any:
    """Return plain values; besides what :func:`parse_json` refuses, integers must fit 64 bits."""
    tree = parse_json(body)
    if _LONG_INTEGER.search(body):
        _check_integers(tree)
    return tree


def check(tree: Any, kind: type[S], *, at: str = "") -> S:
    """Return ``tree`` as the struct, or raise :class:`Invalid` that names the field below ``at``."""
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        field, detail = _explain(str(error), kind)
        field = ".".join(part for part in (at, field) if part) or "body"
        raise Invalid(f"{field}: {detail}", errors=[FieldError(field, detail)]) from error


def require_length(request: HttpRequest) -> int:
    """Return the length that the request declares; raise :class:`LengthRequired` when it declares none."""
    if not request.META.get("CONTENT_LENGTH"):
        raise LengthRequired("Send the header 'Content-Length'.")
    return content_length(request)


def _check_integers(value: Any) -> None:
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise Malformed(f"The integer {str(value)[:40]} does not fit 64 bits.")
    elif isinstance(value, list):
        for item in value:
            _check_integers(item)
    elif isinstance(value, dict):
        for item in value.values():
            _check_integers(item)


def _explain(message: str, kind: type[Body]) -> tuple[str, str]:
    """Return the path of the field and a sentence, from msgspec's message."""
    found = _AT.search(message)
    path, text = (found[1], message[: found.start()]) if found else ("", message)
    if match := _UNKNOWN.match(text):
        field = ".".join(part for part in (path, match[1]) if part)
        known = f"; known here are {', '.join(_fields_of(kind))}" if not path else ""
        return field, f"is not a field that is known here{known}."
    if match := _MISSING.match(text):
        return ".".join(part for part in (path, match[1]) if part), "is required."
    if match := _BOUND.fullmatch(text):
        return path, f"must be {_BOUNDS[match[1]]} {match[2].removesuffix('.0')}."
    return path, f"{text[:1].lower()}{text[1:]}{_choices(path, kind)}."


def _fields_of(kind: type[Body]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def _choices(path: str, kind: type[Body]) -> str:
    hint = get_type_hints(kind).get(path)
    literals = [hint, *get_args(hint)]
    values = [str(value) for item in literals if get_origin(item) is Literal for value in get_args(item)]
    return f"; it may be {', '.join(values)}" if values else ""
