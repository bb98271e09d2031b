"""Headings that sort a table by a link, and the pages of a long one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.http import HttpRequest

PAGE_ROWS = 50
_OF_ONE_VIEW = ("page", "activated")


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; ``key`` is what its rows are sorted by in the address, empty for none."""

    title: Any
    key: str = ""
    is_number: bool = False
    descends_first: bool = False


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading as a page shows it: ``sort`` is what ``aria-sort`` says, ``url`` sorts by it or turns the order."""

    title: Any
    is_number: bool
    sort: str
    url: str


def headings(request: HttpRequest, columns: Sequence[Column], *, order: str) -> list[Heading]:
    """Return the headings where the rows are in ``order``, a key with ``-`` in front when it descends."""
    return [_heading(request, column, order) for column in columns]


def _heading(request: HttpRequest, column: Column, order: str) -> Heading:
    is_here, descends = bool(column.key) and order.removeprefix("-") == column.key, order.startswith("-")
    sort = ("descending" if descends else "ascending") if is_here else ""
    turned = not descends if is_here else column.descends_first
    url = address_with(request, sort=f"{'-' * turned}{column.key}") if column.key else ""
    return Heading(column.title, column.is_number, sort, url)


def address_with(request: HttpRequest, **changes: str) -> str:
    """Return the query of the page with changes, from its first page on and without news; empty fields ask nothing."""
    asked = {name: value for name, value in request.GET.items() if value and name not in _OF_ONE_VIEW}
    return f"?{urlencode({**asked, **changes})}"


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link to a page of a list; ``number`` is ``None`` for those that are left out between."""

    number: int | None
    url: str
    is_here: bool


def page_of(request: HttpRequest, rows: Any) -> Page[Any]:
    """Return the rows of the page that the address asks for: the first for nonsense, the last for too far."""
    return Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))


def page_links(request: HttpRequest, page: Page[Any]) -> list[PageLink]:
    """Return links to the pages around this one, none when there is only one."""
    if page.paginator.num_pages < 2:
        return []
    numbers = page.paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1)
    return [_page_link(request, number, here=page.number) for number in numbers]


def _page_link(request: HttpRequest, number: int | str, *, here: int) -> PageLink:
    if not isinstance(number, int):
        return PageLink(None, "", is_here=False)
    return PageLink(number, address_with(request, page=str(number)), is_here=number == here)
