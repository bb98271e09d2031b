"""The wire between a server process and a model process: one Unix socket, frames, no pickle.

A frame is the sizes of its header (uint32) and its body (uint64), little-endian, then both; the header is
MessagePack, the body the raw bytes of its arrays one after another, in C order. Both sides treat the other as
hostile where it matters: every size is checked before memory is taken for it.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

MAX_HEADER_BYTES = 256 << 20
MAX_BODY_BYTES = 1 << 31
MAX_TENSORS = 65_536
MAX_RANK = 8
SMALL_BYTES = 65_536
"""Frames up to this go out in one piece, and are written and read in an event loop; longer ones in a thread."""

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DTYPES = {name: np.dtype(name) for name in ("bool", *_INTEGERS, "float16", "float32", "float64")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_SIZES = struct.Struct("<IQ")


class WireError(Exception):
    """The other side closed the socket, or sent what is no frame."""


class Closed(WireError):
    """The other side closed the socket."""


class DeadlinePassed(WireError):
    """The other side did not answer in time."""


class Limits(NamedTuple):
    """The most that a frame may announce; what a child may answer depends on what it was asked."""

    header_bytes: int = MAX_HEADER_BYTES
    body_bytes: int = MAX_BODY_BYTES


class Tensor(msgspec.Struct, frozen=True, array_like=True):
    """One array of a frame: numbers lie in the body, strings (``dtype`` ``string``) in ``texts``."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    texts: list[str] | None = None


class Header(msgspec.Struct, frozen=True, array_like=True):
    """``kind`` says what the frame is; ``facts`` are its other fields."""

    kind: str
    tensors: tuple[Tensor, ...] = ()
    facts: dict[str, Any] = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header).decode
_LIMITS = Limits()


def frame(kind: str, arrays: Mapping[str, np.ndarray] | None = None, **facts: Any) -> list[bytes | memoryview]:
    """Return the pieces of a frame: one up to :data:`SMALL_BYTES`, otherwise the arrays stay where they are."""
    tensors, buffers = _describe(arrays or {})
    header = _encode(Header(kind, tuple(tensors), facts))
    size = sum(buffer.nbytes for buffer in buffers)
    if len(header) > MAX_HEADER_BYTES or size > MAX_BODY_BYTES:
        raise WireError(f"a frame of {len(header) + size} bytes is too large")
    head = _SIZES.pack(len(header), size) + header
    return [b"".join((head, *buffers))] if size <= SMALL_BYTES else [head, *buffers]


def send(channel: socket.socket, kind: str, arrays: Mapping[str, np.ndarray] | None = None, **facts: Any) -> None:
    """Send one frame; raise :class:`WireError` when the other side is gone or does not take it in time."""
    send_pieces(channel, frame(kind, arrays, **facts))


def send_pieces(channel: socket.socket, pieces: Sequence[bytes | memoryview]) -> None:
    """Send what :func:`frame` made."""
    try:
        for piece in pieces:
            channel.sendall(piece)
    except TimeoutError as error:
        raise DeadlinePassed("the other side did not read in time") from error
    except OSError as error:
        raise Closed("the other side closed the connection") from error


def receive(
    channel: socket.socket, *, deadline: float | None = None, limits: Limits | None = None
) -> tuple[Header, dict[str, np.ndarray]]:
    """Return the next frame; ``deadline`` is a time of :func:`time.monotonic`.

    The arrays are views of one buffer that belongs to them alone.
    """
    if deadline is not None:
        channel.settimeout(max(deadline - time.monotonic(), 0.001))
    header_size, body_size = _checked_sizes(_read(channel, _SIZES.size, deadline), limits or _LIMITS)
    is_small = header_size + body_size <= SMALL_BYTES
    read = _read(channel, header_size + body_size if is_small else header_size, deadline)
    header = _checked_header(memoryview(read)[:header_size], body_size)
    body = read[header_size:] if is_small else _read(channel, body_size, deadline)
    return header, _take_arrays(header.tensors, body)


class BlockingReader:
    """Reads frames from a socket that blocks, a short one in a single call; nothing may follow it unasked."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = bytearray(_SIZES.size + SMALL_BYTES)

    def receive(self) -> tuple[Header, dict[str, np.ndarray]]:
        """Return the next frame, as :func:`receive` does."""
        filled = self._fill(self._buffer, 0, least=_SIZES.size)
        header_size, body_size = _checked_sizes(self._buffer, _LIMITS)
        start = _SIZES.size + header_size
        total = start + body_size
        if total > len(self._buffer):
            return self._receive_long(filled, header_size, body_size)
        if self._fill(self._buffer, filled, least=total) > total:
            raise WireError("the other side said more than one frame")
        header = _checked_header(memoryview(self._buffer)[_SIZES.size : start], body_size)
        return header, _take_arrays(header.tensors, self._buffer[start:total])

    def _receive_long(self, filled: int, header_size: int, body_size: int) -> tuple[Header, dict[str, np.ndarray]]:
        there = memoryview(self._buffer)[_SIZES.size : filled]
        header = _checked_header(memoryview(self._completed(there[:header_size], header_size)), body_size)
        return header, _take_arrays(header.tensors, self._completed(there[header_size:], body_size))

    def _completed(self, there: memoryview, size: int) -> bytearray:
        whole = bytearray(size)
        whole[: len(there)] = there
        self._fill(whole, len(there), least=size)
        return whole

    def _fill(self, buffer: bytearray, filled: int, *, least: int) -> int:
        """Read until there are so many bytes; return how many there are."""
        while filled < least:
            try:
                count = self._channel.recv_into(memoryview(buffer)[filled:])
            except OSError as error:
                raise Closed("the other side closed the connection") from error
            if not count:
                raise Closed("the other side closed the connection")
            filled += count
        return filled


class Raw(NamedTuple):
    """A whole frame that nobody has looked into yet; :func:`decode` does, in a thread where it is long."""

    data: bytearray
    header_bytes: int

    def decode(self) -> tuple[Header, dict[str, np.ndarray]]:
        """Return what :func:`receive` does; raise :class:`WireError` for nonsense."""
        start = _SIZES.size + self.header_bytes
        header = _checked_header(memoryview(self.data)[_SIZES.size : start], len(self.data) - start)
        return header, _take_arrays(header.tensors, self.data[start:])


class FrameReader:
    """Reads frames from a socket that does not block, as they come in pieces; one answer at a time.

    A socket that holds more than the frame that was waited for is an error: nobody answers more than once.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._buffer = bytearray(_SIZES.size + SMALL_BYTES)
        self._filled = 0
        self._total = 0
        self._header_bytes = 0

    def read(self, limits: Limits) -> Raw | None:
        """Read once; return the frame when it is whole. Raises :class:`WireError`."""
        try:
            free = memoryview(self._buffer)[self._filled :] if self._filled else self._buffer
            count = self._channel.recv_into(free)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Closed("the other side closed the connection") from error
        if not count:
            raise Closed("the other side closed the connection")
        self._filled += count
        if not self._total and not self._begin(limits):
            return None
        if self._filled > self._total:
            raise WireError("the other side said more than its answer")
        return self._take() if self._filled == self._total else None

    def _begin(self, limits: Limits) -> bool:
        """Look at the sizes once they are there; make room for a long frame."""
        if self._filled < _SIZES.size:
            return False
        header_size, body_size = _checked_sizes(self._buffer, limits)
        self._header_bytes, self._total = header_size, _SIZES.size + header_size + body_size
        if self._total > len(self._buffer):
            longer = bytearray(self._total)
            longer[: self._filled] = self._buffer[: self._filled]
            self._buffer = longer
        return True

    def _take(self) -> Raw:
        if self._total > _SIZES.size + SMALL_BYTES:
            data, self._buffer = self._buffer, bytearray(_SIZES.size + SMALL_BYTES)
        else:
            data = self._buffer[: self._total]
        self._filled = self._total = 0
        return Raw(data, self._header_bytes)


def _checked_sizes(data: bytearray, limits: Limits) -> tuple[int, int]:
    header_size, body_size = _SIZES.unpack_from(data)
    if header_size > limits.header_bytes or body_size > limits.body_bytes:
        raise WireError("the other side announced a frame that is too large")
    return header_size, body_size


def _checked_header(data: memoryview, body_size: int) -> Header:
    try:
        header = _decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # wrong UTF-8, lists in lists in lists
        raise WireError("the other side sent a malformed header") from error
    _check_tensors(header.tensors, body_size)
    return header


def _describe(arrays: Mapping[str, np.ndarray]) -> tuple[list[Tensor], list[memoryview]]:
    tensors, buffers = [], []
    for name, array in arrays.items():
        if array.dtype.kind in "OUST":
            texts = ["" if item is None else str(item) for item in array.ravel().tolist()]
            tensors.append(Tensor(name, "string", array.shape, texts))
            continue
        dtype_name = _NAMES.get(array.dtype)
        if dtype_name is None:
            raise WireError(f"arrays of {array.dtype} do not travel")
        tensors.append(Tensor(name, dtype_name, array.shape))
        if array.size:
            buffers.append(np.ascontiguousarray(array).data.cast("B"))
    return tensors, buffers


def _check_tensors(tensors: Sequence[Tensor], body_size: int) -> None:
    if len(tensors) > MAX_TENSORS:
        raise WireError("the other side announced too many arrays")
    total = 0
    for tensor in tensors:
        if len(tensor.shape) > MAX_RANK or any(size < 0 for size in tensor.shape):
            raise WireError("the other side announced an array of an impossible shape")
        count = _count(tensor.shape)
        if tensor.dtype == "string":
            if tensor.texts is None or len(tensor.texts) != count:
                raise WireError("the other side sent another number of texts than it announced")
        elif tensor.dtype in _DTYPES:
            total += count * _DTYPES[tensor.dtype].itemsize
        else:
            raise WireError(f"the other side announced an array of {tensor.dtype[:20]!r}")
    if total != body_size:
        raise WireError("the other side announced arrays of another size than its body")


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _take_arrays(tensors: Sequence[Tensor], body: bytearray) -> dict[str, np.ndarray]:
    arrays, start = {}, 0
    for tensor in tensors:
        if tensor.dtype == "string":
            array = np.empty(len(tensor.texts or ()), dtype=object)
            array[:] = tensor.texts or []
        else:
            array = np.frombuffer(body, dtype=_DTYPES[tensor.dtype], count=_count(tensor.shape), offset=start)
            start += array.nbytes
        try:
            arrays[tensor.name] = array.reshape(tensor.shape)
        except ValueError as error:  # nothing at all, but of 2^62 columns
            raise WireError("the other side announced an array of an impossible shape") from error
    return arrays


def _read(channel: socket.socket, size: int, deadline: float | None) -> bytearray:
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        try:
            count = channel.recv_into(view[filled:])
        except TimeoutError as error:
            raise DeadlinePassed("the other side did not answer in time") from error
        except OSError as error:
            raise Closed("the other side closed the connection") from error
        if not count:
            raise Closed("the other side closed the connection")
        filled += count
        if deadline is not None and filled < size:
            _shorten(channel, deadline)
    return buffer


def _shorten(channel: socket.socket, deadline: float) -> None:
    """Let a frame that arrives in drops use up one deadline, not one for each drop."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise DeadlinePassed("the other side did not answer in time")
    channel.settimeout(left_s)
