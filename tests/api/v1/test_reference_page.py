"""``docs/reference/api.md`` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from modelpool.api.v1.routes import datasets, jobs, keys, members, models, tenants, versions
from modelpool.core.problems import STATUSES
from modelpool.http.checks import walk_routes
from modelpool.http.event_stream import MAX_STREAMS_PER_TENANT
from modelpool.http.idempotency import LEASE, RETENTION
from modelpool.http.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Listing
from modelpool.tenants.roles import GRANTS, Permission

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
LISTINGS: dict[str, Listing] = {
    "tenants": tenants.LISTING,
    "members": members.MEMBERS,
    "audit": members.AUDIT,
    "keys": keys.LISTING,
    "datasets": datasets.LISTING,
    "models": models.LISTING,
    "versions": versions.LISTING,
    "jobs": jobs.LISTING,
    "trainers": jobs.TRAINERS,
}


def test_every_route_is_listed_with_what_it_needs():
    listed = {
        (row[0], row[1].strip("`"), row[2]) for row in ROWS if row[0] in ("GET", "POST", "PUT", "PATCH", "DELETE")
    }
    actual = {
        (method, re.sub(r"<\w+:(\w+)>", r"{\1}", f"/{path}").removeprefix("/api/v1"), str(needed))
        for path, view in walk_routes()
        for method, needed in view.permissions.items()
    }
    assert listed == actual


def test_the_roles_are_those_of_the_code():
    header = next(row for row in ROWS if row[0] == "role")[1:]
    listed = {
        row[0]: {name for name, cell in zip(header, row[1:], strict=True) if cell == "yes"}
        for row in ROWS
        if row[0] in GRANTS
    }
    everybody = {Permission.PUBLIC, Permission.ANY}
    assert listed == {role: {str(one) for one in granted - everybody} for role, granted in GRANTS.items()}


def test_filters_and_orderings_are_those_of_the_code():
    listed = {row[0]: (set(_names(row[1])), _names(row[2])) for row in ROWS if row[0] in LISTINGS and len(row) == 3}
    assert listed.keys() == LISTINGS.keys()
    for name, listing in LISTINGS.items():
        filters, orderings = listed[name]
        assert filters == {*listing.filters, *(f"{prefix}.<name>" for prefix in listing.prefix_filters)}
        assert orderings[0] == listing.default
        assert {one.removeprefix("-") for one in orderings} - {"metrics.<name>"} == set(listing.orders)


def test_every_status_is_explained():
    listed = {int(row[0]) for row in ROWS if row[0].isdigit()}
    assert listed == {*STATUSES.values(), 405, 416}


def test_the_numbers_are_those_of_the_code():
    assert f"{DEFAULT_PAGE_SIZE} by default and at most {MAX_PAGE_SIZE}" in PAGE
    assert MAX_STREAMS_PER_TENANT == 8
    assert "eight open in each web process" in PAGE
    assert RETENTION.days == 1
    assert LEASE.total_seconds() <= 120


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)
