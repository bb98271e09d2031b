"""Opening a data file: plain, gzip or Zstandard, told by its first bytes, not by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modelpool.core.errors import BadTrainingData

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_BYTES = 1 << 20


def open_data(path: Path) -> pa.NativeFile:
    """Open ``path`` for reading what is in it, decompressed."""
    import pyarrow as pa

    with path.open("rb") as file:
        head = file.read(4)
    compression = "gzip" if head[:2] == b"\x1f\x8b" else "zstd" if head == b"\x28\xb5\x2f\xfd" else None
    return pa.input_stream(str(path), compression=compression)


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
