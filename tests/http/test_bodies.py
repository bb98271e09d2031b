from __future__ import annotations

from typing import Annotated, Literal

import pytest
from django.test import RequestFactory
from msgspec import Meta

from modelpool.core.errors import Invalid, Malformed, TooLarge, UnsupportedMediaType
from modelpool.http.bodies import Body, read_json


class Inner(Body, frozen=True):
    rows: list[list[int]] = []


class Thing(Body, frozen=True):
    name: Annotated[str, Meta(max_length=5)]
    mode: Literal["max", "min"] | None = None
    count: Annotated[int, Meta(le=100)] = 0
    inner: Inner | None = None


def read(body: bytes, content_type: str = "application/json", limit_bytes: int = 10_000) -> Thing:
    request = RequestFactory().post("/", body, content_type=content_type)
    return read_json(request, Thing, limit_bytes=limit_bytes)


def test_a_body_that_fits():
    assert read(b'{"name": "x", "mode": "max", "inner": {"rows": [[1]]}}') == Thing(
        name="x", mode="max", inner=Inner(rows=[[1]])
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": "x", "name": "y"}',
        b'{"name": "x", "count": NaN}',
        b'{"name": "x", "count": Infinity}',
        b'{"name": "x", "count": 1e999}',
        b'{"name": "x", "count": 18446744073709551616}',
        b'{"name": "x", "count": -9223372036854775809}',
        b'{"name": "x\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"name": "\xff"}',
        b"[" * 100_0 + b"]" * 100_0,
        b"9" * 5000,
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_not_strict_json_is_malformed(body: bytes):
    with pytest.raises(Malformed):
        read(body)


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (b"{}", "name", "required"),
        (b'{"name": 1}', "name", "expected `str`, got `int`"),
        (b'{"name": "toolong"}', "name", "length <= 5"),
        (b'{"name": "x", "nmae": 1}', "nmae", "known here are name, mode, count, inner"),
        (b'{"name": "x", "mode": "mean"}', "mode", "it may be max, min"),
        (b'{"name": "x", "count": 1.5}', "count", "expected `int`"),
        (b'{"name": "x", "count": 101}', "count", "must be at most 100."),
        (b'{"name": "x", "inner": {"rows": [[1], ["a"]]}}', "inner.rows[1][0]", "expected `int`, got `str`"),
        (b'{"name": "x", "inner": {"x": 1}}', "inner.x", "not a field"),
        (b"[]", "body", "expected `object`"),
        (b"null", "body", "expected `object`"),
    ],
)
def test_what_does_not_fit_is_named(body: bytes, field: str, says: str):
    with pytest.raises(Invalid) as caught:
        read(body)
    assert caught.value.errors[0].field == field
    assert says in caught.value.errors[0].detail


def test_other_types_are_refused():
    with pytest.raises(UnsupportedMediaType):
        read(b"name=x", "application/x-www-form-urlencoded")


def test_the_limit_is_looked_at_before_the_body():
    with pytest.raises(TooLarge):
        read(b'{"name": "x"}', limit_bytes=5)
