"""Frames arrive as they were sent; nothing that a frame announces is believed before it is checked."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from modelpool.core.runtime.process import wire

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"],
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3, 4)])
def test_numbers_arrive_as_they_are(pair: Pair, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape).astype(dtype)
    wire.send(pair[0], "x", {"a": array}, n=1)
    header, arrays = wire.receive(pair[1])
    assert (header.kind, header.facts) == ("x", {"n": 1})
    assert arrays["a"].dtype == array.dtype
    assert arrays["a"].shape == shape
    assert arrays["a"].tolist() == array.tolist()


def test_text_and_views_arrive_as_they_are(pair: Pair) -> None:
    texts = np.array([["æ", ""], [None, "x\0y"]], dtype=object)
    matrix = np.arange(12.0).reshape(3, 4)
    wire.send(pair[0], "x", {"t": texts, "column": matrix[:, 1], "turned": matrix.T})
    _, arrays = wire.receive(pair[1])
    assert arrays["t"].tolist() == [["æ", ""], ["", "x\0y"]]
    assert arrays["column"].tolist() == [1, 5, 9]
    assert arrays["turned"].tolist() == matrix.T.tolist()


def test_large_arrays_arrive_whole(pair: Pair) -> None:
    array = np.random.default_rng(0).normal(size=(1000, 500))
    sender = threading.Thread(target=wire.send, args=(pair[0], "x", {"a": array}))
    sender.start()
    _, arrays = wire.receive(pair[1], deadline=time.monotonic() + 20)
    sender.join()
    assert np.array_equal(arrays["a"], array)


def _frame(tensors: list[object], body: bytes = b"", *, sizes: tuple[int, int] | None = None) -> bytes:
    header = msgspec.msgpack.encode(["x", tensors, {}])
    return struct.pack("<IQ", *(sizes or (len(header), len(body)))) + header + body


def _raw(header: bytes) -> bytes:
    return struct.pack("<IQ", len(header), 0) + header


@pytest.mark.parametrize(
    "frame",
    [
        _frame([], sizes=(1 << 31, 0)),
        _frame([], sizes=(10, 1 << 40)),
        _frame([["a", "float64", [1 << 40], None]]),
        _frame([["a", "float64", [-1], None]]),
        _frame([["a", "float64", [1 << 32, 1 << 32], None]]),
        _frame([["a", "float64", [1] * 9, None]], b"\0" * 8),
        _frame([["a", "object", [1], None]], b"\0" * 8),
        _frame([["a", "string", [3], ["x"]]]),
        _frame([["a", "string", [1 << 40], []]]),
        _frame([["a", "float64", [1], None]], b"\0" * 16),
        _frame([["a", "float32", [0, 1 << 62], None]]),
        _frame([["a", "string", [1 << 63, 0], []]]),
        _raw(b"\x93\xa1x\x90\x81\xa1a" + b"\x91" * 100_000),
        _raw(b"\x93\xa2\xff\xfe\x90\x80"),
        _raw(b"\x93\xa1x\x90\x81\xa1a\xa3\xed\xa0\x80"),
        struct.pack("<IQ", 5, 0) + b"hello",
        b"short",
    ],
)
def test_lying_frame_is_refused_without_taking_memory(pair: Pair, frame: bytes) -> None:
    pair[0].sendall(frame)
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises(wire.WireError):
        wire.receive(pair[1], deadline=time.monotonic() + 20)


def test_silence_passes_the_deadline(pair: Pair) -> None:
    pair[0].sendall(b"\1")
    with pytest.raises(wire.DeadlinePassed):
        wire.receive(pair[1], deadline=time.monotonic() + 0.05)


def test_closed_socket_is_told(pair: Pair) -> None:
    pair[1].close()
    with pytest.raises(wire.WireError, match="closed"):
        wire.send(pair[0], "x", {"a": np.zeros(10)})
    with pytest.raises(wire.WireError, match="closed"):
        wire.receive(pair[0])


def test_objects_other_than_text_do_not_travel_as_objects(pair: Pair) -> None:
    with pytest.raises(wire.WireError, match="do not travel"):
        wire.send(pair[0], "x", {"a": np.zeros(2, dtype=np.complex128)})


def test_a_blocking_reader_takes_frames_of_any_length_in_any_pieces(pair: Pair) -> None:
    reader = wire.BlockingReader(pair[1])
    arrays = [np.arange(3.0), np.random.default_rng(0).normal(size=(300, 50)), np.zeros(0), np.arange(7, dtype=np.int8)]
    for array in arrays:
        data = b"".join(wire.frame("x", {"a": array, "t": np.array(["æ"], object)}, n=1))

        def send(data: bytes = data) -> None:
            for start in (0, 5, 13, 40, 70_000):
                ends = {0: 5, 5: 13, 13: 40, 40: 70_000, 70_000: len(data)}
                pair[0].sendall(data[start : ends[start]])

        sender = threading.Thread(target=send)
        sender.start()
        header, found = reader.receive()
        sender.join()
        assert (header.kind, header.facts, found["t"].tolist()) == ("x", {"n": 1}, ["æ"])
        np.testing.assert_array_equal(found["a"], array, strict=True)


def test_arrays_of_a_blocking_reader_are_not_those_of_the_next_frame(pair: Pair) -> None:
    reader = wire.BlockingReader(pair[1])
    found = []
    for value in (1.0, 2.0):
        wire.send(pair[0], "x", {"a": np.array([value])})
        found.append(reader.receive()[1]["a"])
    assert [array.tolist() for array in found] == [[1.0], [2.0]]


def test_a_blocking_reader_ends_at_what_is_no_frame(pair: Pair) -> None:
    data = b"".join(wire.frame("x", {"a": np.arange(3.0)}))
    pair[0].sendall(data + b"y")
    with pytest.raises(wire.WireError, match="more than one frame"):
        wire.BlockingReader(pair[1]).receive()
    pair[0].sendall(data[:-1])
    pair[0].close()
    with pytest.raises(wire.Closed):
        wire.BlockingReader(pair[1]).receive()
