"""Heads that come again: what is recognised, and what must not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool.inference.requests import Head
from modelpool.server.repeats import RepeatedHead

HEAD = Head("POST", "/predict", b"", {}, [])
FORM = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nAccept: */*\r\n\r\n"


def made_of(data: bytes, body: bytes) -> RepeatedHead | None:
    return RepeatedHead.of(data, head=HEAD, url=b"/predict", body=body)


def first() -> RepeatedHead:
    repeated = made_of(FORM % 3 + b"abc", b"abc")
    assert repeated is not None
    return repeated


@given(body=st.binary(max_size=300))
def test_the_same_head_gives_the_body(body: bytes) -> None:
    assert first().body_of(FORM % len(body) + body) == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        (FORM % 3)[:-1],
        FORM % 3 + b"ab",
        FORM % 3 + b"abcd",
        FORM % 3 + b"abc" + FORM % 3 + b"abc",
        FORM.replace(b"Host: x", b"Host: y") % 3 + b"abc",
        FORM.replace(b"*/*", b"*/ *") % 3 + b"abc",
        FORM.replace(b"POST", b"post") % 3 + b"abc",
        FORM.replace(b"%d", b"+%d") % 3 + b"abc",
        FORM.replace(b"%d", b"%d ") % 3 + b"abc",
        FORM.replace(b"%d", b"") + b"abc",
        FORM.replace(b"%d", b"3_0") + b"a" * 30,
        FORM % 100_000 + b"a" * 100_000,
        FORM.replace(b"%d\r\n", b"%d\r\nContent-Length: 3\r\n") % 3 + b"abc",
    ],
)
def test_what_differs_goes_to_the_parser(data: bytes) -> None:
    assert first().body_of(data) is None


@given(at=st.integers(0, len(FORM % 3) + 2), byte=st.integers(0, 255))
def test_a_head_with_another_byte_is_another_head(at: int, byte: int) -> None:
    data = bytearray(FORM % 3 + b"abc")
    is_changed = data[at] != byte
    data[at] = byte
    if is_changed and at < len(FORM % 3):
        assert first().body_of(bytes(data)) is None
    else:
        assert first().body_of(bytes(data)) == bytes(data[-3:])


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"x" + FORM % 3 + b"abc", b"abc"),  # the end of another request before it
        (FORM % 3 + b"abc" + b"POST", b"abc"),
        (FORM.replace(b"/predict", b"/other") % 3 + b"abc", b"abc"),
        (FORM.replace(b"Length: ", b"Length:  ") % 3 + b"abc", b"abc"),
        (FORM % 3 + b"abc", b"ab"),
        (FORM.replace(b"Host", b"Content-Length: 3\r\nHost") % 3 + b"abc", b"abc"),
        (FORM.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"abc", b"abc"),
    ],
)
def test_only_one_whole_plain_request_is_remembered(data: bytes, body: bytes) -> None:
    assert made_of(data, body) is None
