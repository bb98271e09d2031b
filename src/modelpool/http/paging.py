"""Lists in pages: filters and orders from fixed maps, and a cursor that stays right while rows come and go.

The cursor is the position of a row (value of the ordering, then primary key), so a page costs the same at any depth and
no row is shown twice or left out because another was inserted.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from modelpool.core.errors import FieldError, Invalid, InvalidField
from modelpool.http.filters import Filter, check_length, parse_moment

M = TypeVar("M", bound=Model)

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
_OWN = ("cursor", "ordering", "page_size")
_MAX_INTEGER = 2**63
_KINDS: dict[str, tuple[type, ...]] = {
    "DateTimeField": (datetime,),
    "CharField": (str,),
    "IntegerField": (int,),
    "BigIntegerField": (int,),
    "BigAutoField": (int,),
    "FloatField": (int, float),
}


class Page(msgspec.Struct, frozen=True):
    """One page of a list; ``next`` and ``previous`` are whole addresses, or null at the ends."""

    results: list[Any]
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """What may be asked of one list.

    ``orders`` maps public names to columns that are never null; ``default`` is one of them, perhaps with ``-``.
    ``prepare`` may add an order that the map cannot hold (a metric): it gets the rows and the name, and returns rows
    and column, or ``None`` for a name it does not know. Of the columns in ``distinct`` no two rows of the list share a
    value, so that an index on them alone gives the order.
    """

    orders: Mapping[str, str]
    default: str
    filters: Mapping[str, Filter] = field(default_factory=dict)
    prefix_filters: Mapping[str, Callable[[QuerySet[Any], str, str], QuerySet[Any]]] = field(default_factory=dict)
    prepare: Callable[[QuerySet[Any], str], tuple[QuerySet[Any], str] | None] | None = None
    extra: tuple[str, ...] = ()
    distinct: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Cursor:
    ordering: str
    value: Any
    pk: Any
    is_backward: bool

    def encode(self) -> str:
        raw = json.dumps(
            [self.ordering, _to_json(self.value), str(self.pk), int(self.is_backward)], separators=(",", ":")
        )
        return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def paginate(
    request: HttpRequest, rows: QuerySet[M], *, listing: Listing, present: Callable[[list[M]], Iterable[Any]]
) -> Page:
    """Return the page that the query asks for; ``present`` turns its rows into documents.

    Raises :class:`~modelpool.core.errors.Invalid` that names a parameter which is unknown or has a wrong value.
    """
    query = _checked_query(request, listing)
    rows = _filtered(rows, query, listing)
    cursor = _read_cursor(query, rows.model)
    ordering = cursor.ordering if cursor else query.get("ordering", listing.default)
    rows, column = _ordered_by(rows, ordering.removeprefix("-"), listing)
    is_descending = ordering.startswith("-")
    found, has_more = _slice(
        rows,
        column,
        is_distinct=column in listing.distinct,
        is_descending=is_descending,
        cursor=cursor,
        size=_page_size(query),
        unique=listing.distinct[0] if listing.distinct else "pk",
    )
    is_backward = cursor is not None and cursor.is_backward
    has_next, has_previous = (True, has_more) if is_backward else (has_more, cursor is not None)

    def link(row: M, *, back: bool) -> str:
        at = _Cursor(ordering=ordering, value=getattr(row, column), pk=row.pk, is_backward=back)
        kept = {name: value for name, value in query.items() if name not in ("cursor", "ordering")}
        return request.build_absolute_uri(f"{request.path}?{urlencode({**kept, 'cursor': at.encode()})}")

    return Page(
        results=list(present(found)),
        next=link(found[-1], back=False) if found and has_next else None,
        previous=link(found[0], back=True) if found and has_previous else None,
    )


def _checked_query(request: HttpRequest, listing: Listing) -> dict[str, str]:
    known = {*_OWN, *listing.filters, *listing.extra}
    for name in request.GET:
        if name not in known and name.partition(".")[0] not in listing.prefix_filters:
            detail = f"is not a parameter of this list; those are {', '.join(sorted(known))}."
            raise Invalid(f"{name[:80]}: {detail}", errors=[FieldError(name[:80], detail)])
        if len(request.GET.getlist(name)) > 1:
            raise InvalidField(name, "may be given once only.")
        if "\x00" in request.GET[name] or "\x00" in name:
            raise InvalidField(name.replace("\x00", ""), "holds the character NUL.")
        check_length(request.GET[name], name=name)
    return {name: value for name, value in request.GET.items() if isinstance(value, str)}


def _filtered(rows: QuerySet[M], query: Mapping[str, str], listing: Listing) -> QuerySet[M]:
    for name, value in query.items():
        prefix, _, key = name.partition(".")
        if name in listing.filters:
            rows = listing.filters[name].apply(rows, name=name, value=value)
        elif prefix in listing.prefix_filters:
            rows = listing.prefix_filters[prefix](rows, key, value)
    return rows


def _ordered_by(rows: QuerySet[M], name: str, listing: Listing) -> tuple[QuerySet[M], str]:
    if name in listing.orders:
        return rows, listing.orders[name]
    prepared = listing.prepare(rows, name) if listing.prepare else None
    if prepared is None:
        known = ", ".join(sorted(listing.orders))
        raise InvalidField(
            "ordering", f"{name[:80]!r} is not an order of this list; those are {known}, each also with '-'."
        )
    return prepared


def _page_size(query: Mapping[str, str]) -> int:
    text = query.get("page_size", str(DEFAULT_PAGE_SIZE))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_PAGE_SIZE):
        raise InvalidField("page_size", f"must be a number from 1 to {MAX_PAGE_SIZE}.")
    return int(text)


def _slice(
    rows: QuerySet[M],
    column: str,
    *,
    is_distinct: bool,
    is_descending: bool,
    cursor: _Cursor | None,
    size: int,
    unique: str,
) -> tuple[list[M], bool]:
    """Return at most ``size`` rows in the asked order, and whether there are more in the direction that was walked."""
    if cursor is not None and cursor.is_backward:
        is_descending = not is_descending
    sign, than = ("-", "lt") if is_descending else ("", "gt")
    if cursor is not None:
        _check_position(rows, column, cursor.value)
        beyond = Q(**{f"{column}__{than}": cursor.value})
        if not is_distinct:  # the first condition says nothing new, but is one that an index can be searched for
            beyond |= Q(**{column: cursor.value, f"pk__{than}": cursor.pk})
            rows = rows.filter(**{f"{column}__{than}e": cursor.value})
        rows = rows.filter(beyond)
    order = [f"{sign}{column}"] if is_distinct else [f"{sign}{column}", f"{sign}pk"]
    found, has_more = _read(rows.order_by(*order), column, unique, size=size)
    return (found[::-1] if cursor is not None and cursor.is_backward else found), has_more


def _read(rows: QuerySet[M], column: str, unique: str, *, size: int) -> tuple[list[M], bool]:
    """Return the first rows, and whether there are more.

    What no index has in order is sorted by itself first: whole rows take longer. They are found again by ``unique``
    where the list has such a column, for which an index is chosen; the primary key would be looked for in all that the
    tenant has.
    """
    if column not in rows.query.annotations:
        read = list(rows[: size + 1])
        return read[:size], len(read) > size
    first = list(rows.values_list(unique, flat=True)[: size + 1])
    found = {getattr(row, unique): row for row in rows.filter(**{f"{unique}__in": first[:size]}).order_by()}
    return [found[key] for key in first[:size] if key in found], len(first) > size


def _read_cursor(query: Mapping[str, str], model: type[Model]) -> _Cursor | None:
    text = query.get("cursor")
    if text is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        ordering, value, pk, is_backward = json.loads(raw)
        return _Cursor(
            ordering=_same(ordering, query.get("ordering", ordering)),
            value=_from_json(value),
            pk=_small(model._meta.pk.to_python(pk)),
            is_backward=bool(is_backward),
        )
    except (binascii.Error, ValueError, TypeError, ValidationError, RecursionError) as error:
        raise InvalidField("cursor", "is not one that this list gave; begin without it.") from error


def _check_position(rows: QuerySet[Any], column: str, value: Any) -> None:
    """Raise for a forged cursor whose value is not of the column's type."""
    if column in rows.query.annotations:
        kind: tuple[type, ...] = (int, float)
    else:
        kind = _KINDS[rows.model._meta.get_field(column).get_internal_type()]
    if not isinstance(value, kind):
        raise InvalidField("cursor", "is not one that this list gave; begin without it.")


def _same(ordering: Any, asked: str) -> str:
    if not isinstance(ordering, str) or ordering != asked:
        raise ValueError("the cursor is of another order")
    return ordering


def _to_json(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) else {"at": value.isoformat()}


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return parse_moment(value.get("at", ""))
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return _small(value)
    raise TypeError("not a position")


def _small(value: Any) -> Any:
    if isinstance(value, (int, float)) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise ValueError("out of range")
    if isinstance(value, str) and b"\x00" in value.encode():  # half of a surrogate pair is a ValueError as well
        raise ValueError("NUL")
    return value
