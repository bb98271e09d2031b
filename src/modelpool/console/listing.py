"""Lists of the console's pages: the filters, orders and cursors of the API's lists, as headings and links."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode, urlsplit

from django.db.models import Model, QuerySet
from django.http import HttpRequest, QueryDict

from modelpool.core.errors import Invalid
from modelpool.http.paging import Listing, paginate

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; ``order`` is the public name that its rows can be ordered by, empty for none."""

    title: Any
    order: str = ""
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading as one page shows it: ``sort`` is what ``aria-sort`` says, ``url`` orders by it, or turns the order."""

    title: Any
    is_number: bool
    sort: str
    url: str


@dataclass(frozen=True, slots=True)
class Shown(Generic[M]):
    """A page of a list, with the question it answers; ``error`` says what in the question was wrong."""

    rows: list[M]
    headings: list[Heading]
    asked: dict[str, str]
    newer: str | None = None
    older: str | None = None
    error: str = ""

    @property
    def status(self) -> int:
        """What is answered: 400 for a question that cannot be."""
        return 400 if self.error else 200

    @property
    def is_filtered(self) -> bool:
        """Whether anything but an order is asked for, or something that cannot be."""
        return bool(self.error) or any(name != "ordering" for name in self.asked)

    @property
    def question(self) -> str:
        """The filters as the query of an address, for an export of the same rows."""
        return urlencode({name: value for name, value in self.asked.items() if name != "ordering"})


def show(request: HttpRequest, rows: QuerySet[M], *, listing: Listing, columns: Sequence[Column] = ()) -> Shown[M]:
    """Return the page of ``rows`` that the query asks for; fields of a form that were left empty ask nothing."""
    asked = {name: value for name, value in request.GET.items() if value}
    kept = {name: str(value) for name, value in asked.items() if name != "cursor"}
    headings = [_heading(column, kept, default=listing.default) for column in columns]
    try:
        page = paginate(_asking(request, asked), rows, listing=listing, present=list)
    except Invalid as error:
        return Shown([], headings, kept, error=str(error))
    return Shown(page.results, headings, kept, newer=_link(page.previous, kept), older=_link(page.next, kept))


def _asking(request: HttpRequest, asked: dict[str, Any]) -> HttpRequest:
    again = copy.copy(request)
    query = QueryDict(mutable=True)
    query.update(asked)
    again.GET = query  # type: ignore[assignment]  # Django itself declares it as one that cannot be changed
    return again


def _heading(column: Column, asked: dict[str, str], *, default: str) -> Heading:
    ordering = asked.get("ordering", default)
    is_here = bool(column.order) and ordering.lstrip("-") == column.order
    is_descending = ordering.startswith("-")
    wanted = column.order if not is_here or is_descending else f"-{column.order}"
    sort = ("descending" if is_descending else "ascending") if is_here else ""
    url = f"?{urlencode({**asked, 'ordering': wanted})}" if column.order else ""
    return Heading(column.title, column.is_number, sort, url)


def _link(address: str | None, asked: dict[str, str]) -> str | None:
    """Return the query of an address of another page; that of the API leaves the order to the cursor."""
    if address is None:
        return None
    ordering = f"&{urlencode({'ordering': asked['ordering']})}" if "ordering" in asked else ""
    return f"?{urlsplit(address).query}{ordering}"
