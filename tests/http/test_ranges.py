"""The examples of RFC 9110, 14.1.2, on a file of 10,000 bytes, and what is at the edges."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from modelpool.http.ranges import asked_range, is_unchanged

ETAG = '"abc"'
SIZE = 10_000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-499", (0, 500)),
        ("bytes=500-999", (500, 1000)),
        ("bytes=-500", (9500, 10_000)),
        ("bytes=9500-", (9500, 10_000)),
        ("bytes=0-0", (0, 1)),
        ("bytes=-1", (9999, 10_000)),
        ("bytes=9999-20000", (9999, 10_000)),
        ("bytes=-20000", (0, 10_000)),
        ("bytes=10000-", None),
        ("bytes=-0", None),
        ("bytes=0-0,-1", (0, 10_000)),
        ("bytes=5-4", (0, 10_000)),
        ("bytes=-", (0, 10_000)),
        ("bytes=a-b", (0, 10_000)),
        ("rows=0-1", (0, 10_000)),
        ("bytes=" + "9" * 30 + "-", (0, 10_000)),
    ],
)
def test_one_range(header: str, expected: tuple[int, int] | None):
    request = RequestFactory().get("/", headers={"Range": header})
    found = asked_range(request, size=SIZE, etag=ETAG)
    assert (None if found is None else (found.start, found.stop)) == expected


def test_a_range_of_another_file_is_answered_with_the_whole_of_this_one():
    for condition, start in ((ETAG, 5), ('"old"', 0), ('W/"abc"', 0)):
        request = RequestFactory().get("/", headers={"Range": "bytes=5-", "If-Range": condition})
        found = asked_range(request, size=SIZE, etag=ETAG)
        assert found is not None
        assert found.start == start


@pytest.mark.parametrize(
    ("header", "unchanged"),
    [(ETAG, True), ('"x", "abc"', True), ('W/"abc"', True), ("*", True), ('"x"', False), ("", False), ("abc", False)],
)
def test_if_none_match(header: str, unchanged: bool):
    assert is_unchanged(RequestFactory().get("/", headers={"If-None-Match": header}), ETAG) is unchanged
