"""Bytes from a pipe into lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelpool.training.lines import LineBuffer


def split(pieces: list[bytes], *, limit: int) -> list[bytes]:
    buffer = LineBuffer(limit)
    return [line for piece in pieces for line in buffer.feed(piece)] + list(buffer.finish())


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_lines_do_not_depend_on_how_the_bytes_arrive(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    expected = whole.split(b"\n")
    assert split(pieces, limit=1000) == (expected if expected[-1] else expected[:-1])


def test_a_line_beyond_the_limit_is_cut_and_the_next_one_is_whole() -> None:
    pieces = [b"a" * 8, b"b" * 8, b"c" * 8, b"tail\nnext\n"]
    assert split(pieces, limit=10) == [b"aaaaaaaabb", b"next"]


@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 10))
def test_no_line_is_longer_than_the_limit(pieces: list[bytes], limit: int) -> None:
    assert all(len(line) <= limit for line in split(pieces, limit=limit))
