"""Opening a data file: plain, gzip or Zstandard, told by its first bytes, not by its name.

What is packed is unpacked within a bound: a small file may hold a table of any size, and nobody can tell before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modelpool.core.errors import BadTrainingData

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 20 << 30
"""What a packed file may hold, unless :func:`limit_unpacked` says otherwise."""


class _Bound:
    """The bound of this process; a child sets it once, from its request."""

    unpacked_bytes = MAX_UNPACKED_BYTES


def limit_unpacked(size_bytes: int) -> None:
    """Let this process read at most ``size_bytes`` out of one data file."""
    _Bound.unpacked_bytes = size_bytes


def check_unpacked(size_bytes: int) -> None:
    """Raise :class:`BadTrainingData` when a file holds more than this process may read."""
    if size_bytes > _Bound.unpacked_bytes:
        raise BadTrainingData(
            f"The file holds more than {_Bound.unpacked_bytes} bytes once it is unpacked, the limit of this "
            "installation (datasets.max_unpacked); send fewer rows or columns."
        )


def unpack(path: Path) -> Path:
    """Return a file with what is in ``path``: itself when it is not packed, else one beside it, bounded."""
    if _compression(path) is None:
        return path
    target = path.with_name(path.name + ".unpacked")
    size = 0
    with open_data(path) as stream, target.open("wb") as file:
        while block := _read(stream):
            size += len(block)
            check_unpacked(size)
            file.write(block)
    return target


def read_head(path: Path, *, size: int = 4096) -> bytes:
    """Return the first bytes of what is in ``path``; raise :class:`BadTrainingData` for a damaged packed file."""
    with open_data(path) as stream:
        return _read(stream)[:size]


def open_data(path: Path) -> pa.NativeFile:
    """Open ``path`` for reading what is in it, decompressed."""
    import pyarrow as pa

    return pa.input_stream(str(path), compression=_compression(path))


def _compression(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(4)
    return "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head == b"\x28\xb5\x2f\xfd" else None


def check_text(path: Path) -> int:
    """Raise :class:`BadTrainingData` unless the file is UTF-8 text and not empty; return how many ``"`` it has."""
    scan = _Scan()
    with open_data(path) as stream:
        while block := _read(stream):
            scan.feed(block)
    scan.finish()
    return scan.quotes


class _Scan:
    """Decodes block by block, and knows the line of the first byte that is not UTF-8."""

    def __init__(self) -> None:
        self.quotes = 0
        self._rest = b""
        self._offset = 0
        self._line = 1
        self._has_text = False

    def feed(self, block: bytes) -> None:
        self._check_not_binary(block)
        check_unpacked(self._offset + len(block))
        data = self._rest + block
        try:
            data.decode()
            whole = len(data)
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                self._refuse(data, error.start)
            whole = error.start
        self.quotes += data.count(b'"', 0, whole)
        self._line += data.count(b"\n", 0, whole)
        self._offset += whole
        self._rest = data[whole:]
        self._has_text = self._has_text or bool(data.removeprefix(b"\xef\xbb\xbf").strip())

    def finish(self) -> None:
        if self._rest:
            self._refuse(self._rest, 0)
        if not self._has_text:
            raise BadTrainingData("The file is empty; send a table with a header line and at least one row.")

    def _check_not_binary(self, block: bytes) -> None:
        if self._offset == 0 and block[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise BadTrainingData(
                "The file is UTF-16 text ('Unicode' in some programs); save it as UTF-8 and send it again."
            )
        if b"\x00" in block:
            raise BadTrainingData(
                "The file is not text: it has zero bytes. Send CSV or JSON lines as UTF-8 text, or name its format."
            )

    def _refuse(self, data: bytes, at: int) -> None:
        line = self._line + data.count(b"\n", 0, at)
        raise BadTrainingData(
            f"The file is not UTF-8 text: byte 0x{data[at]:02x} in line {line} (offset {self._offset + at}). "
            "Save it as UTF-8 and send it again (in Excel: 'CSV UTF-8'; in pandas: to_csv(encoding='utf-8'))."
        )


def _read(stream: pa.NativeFile) -> bytes:
    try:
        data: bytes = stream.read(_BLOCK_BYTES)
    except (OSError, ValueError) as error:
        raise BadTrainingData(
            f"The compressed file is damaged or cut off; pack it again and send it once more ({error})."
        ) from error
    return data
