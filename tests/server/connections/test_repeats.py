"""Heads that come again: what is recognised, and what must not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool.inference.requests import Head, Way
from modelpool.server.connections.repeats import RepeatedHead

SENT = [(b"host", b"x"), (b"content-length", b"3"), (b"accept", b"*/*")]
HEAD = Head("POST", "/predict", b"", dict(SENT), SENT)
FORM = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nAccept: */*\r\n\r\n"


def made_of(data: bytes, body: bytes) -> RepeatedHead | None:
    return RepeatedHead.of(data, head=HEAD, url=b"/predict", body=body)


def first() -> RepeatedHead:
    repeated = made_of(FORM % 3 + b"abc", b"abc")
    assert repeated is not None
    return repeated


@given(body=st.binary(max_size=300))
def test_the_same_head_gives_the_body(body: bytes) -> None:
    assert first().read(FORM % len(body) + body) == (HEAD, body)


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
    assert first().read(data) is None


@given(at=st.integers(0, len(FORM % 3) + 2), byte=st.integers(0, 255))
def test_a_head_with_another_byte_is_another_head(at: int, byte: int) -> None:
    data = bytearray(FORM % 3 + b"abc")
    is_changed = data[at] != byte
    data[at] = byte
    if is_changed and at < len(FORM % 3):
        assert first().read(bytes(data)) is None
    else:
        assert first().read(bytes(data)) == (HEAD, bytes(data[-3:]))


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


# --- ids of requests and of their traces ------------------------------------------------------------------------------

TRACED = b"POST /predict HTTP/1.1\r\nX-Request-ID: %b\r\nHost: x\r\nContent-Length:%d\r\ntraceparent: %b\r\n\r\n"
TRACE = b"00-%032x-%016x-01"
IDS = st.from_regex(rb"[A-Za-z0-9._-]{1,64}", fullmatch=True)


def traced(identity: bytes, trace: bytes, *, way: Way | None = None) -> Head:
    sent = [(b"x-request-id", identity), (b"host", b"x"), (b"content-length", b"3"), (b"traceparent", trace)]
    return Head("POST", "/predict", b"", dict(sent), sent, way)


def first_traced() -> RepeatedHead:
    way = Way(
        ("acme", "churn", None), b"one", is_checked=True, key_digest=b"digest", method="predict", content_type=b"x"
    )
    head = traced(b"one", TRACE % (1, 2), way=way)
    repeated = RepeatedHead.of(TRACED % (b"one", 3, TRACE % (1, 2)) + b"abc", head=head, url=b"/predict", body=b"abc")
    assert repeated is not None
    return repeated


@given(identity=IDS, trace=st.integers(0, 2**128 - 1), body=st.binary(max_size=300))
def test_ids_may_differ_and_each_request_has_its_own(identity: bytes, trace: int, body: bytes) -> None:
    repeated = first_traced()
    found = repeated.read(TRACED % (identity, len(body), TRACE % (trace, 7)) + body)
    assert found is not None
    head, read = found
    assert read == body
    assert head == traced(identity, TRACE % (trace, 7), way=head.way)
    assert head.way == Way(
        ("acme", "churn", None), identity, is_checked=True, key_digest=b"digest", method="predict", content_type=b"x"
    )
    assert repeated.head.headers[b"x-request-id"] == b"one"
    assert repeated.read(TRACED % (b"one", 3, TRACE % (1, 2)) + b"abc") == (repeated.head, b"abc")


@pytest.mark.parametrize(
    ("identity", "trace"),
    [
        (b"", TRACE % (1, 2)),
        (b"a" * 65, TRACE % (1, 2)),
        (b" one", TRACE % (1, 2)),
        (b"one ", TRACE % (1, 2)),
        (b"one\r\nHost: y", TRACE % (1, 2)),
        (b"one\nHost: y", TRACE % (1, 2)),
        (b"one\r\n\r\n", TRACE % (1, 2)),
        (b"one\x00", TRACE % (1, 2)),
        ("ö".encode(), TRACE % (1, 2)),
        (b"two", b""),
        (b"two", (TRACE % (1, 2)).upper() + b"A"),
        (b"two", TRACE % (1, 2) + b"-00"),
        (b"two", (TRACE % (1, 2))[:-3]),
    ],
)
def test_what_is_no_plain_id_goes_to_the_parser(identity: bytes, trace: bytes) -> None:
    assert first_traced().read(TRACED % (identity, 3, trace) + b"abc") is None


def test_an_id_that_is_sent_twice_or_is_odd_stays_as_it_is() -> None:
    for odd in (b"X-Request-ID: a\r\nX-Request-ID: b", b"X-Request-ID: a b"):
        data = b"POST /predict HTTP/1.1\r\n%b\r\nContent-Length: 3\r\n\r\nabc" % odd
        sent = [(b"x-request-id", line.partition(b": ")[2]) for line in odd.split(b"\r\n")] + [
            (b"content-length", b"3")
        ]
        head = Head("POST", "/predict", b"", dict(sent), sent)
        repeated = RepeatedHead.of(data, head=head, url=b"/predict", body=b"abc")
        assert repeated is not None
        assert repeated.read(data) == (head, b"abc")
        assert repeated.read(data.replace(b"D: a", b"D: c")) is None
