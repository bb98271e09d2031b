"""The ONNX format, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from modelpool.core.errors import Invalid, UnloadableModel
from modelpool.core.formats.base import LoadedModel, ModelFormat
from modelpool.core.formats.onnx_scan import OnnxFacts, scan
from modelpool.core.signature import ModelSignature

SIGNATURE_KEY = "modelpool.signature"
"""Metadata entry with our signature as JSON; it wins over what the graph says."""

COLUMNS_KEY = "modelpool.columns"
"""Metadata entry: JSON object, input of the graph → names of the columns that its matrix is made of, in order."""


class OnnxFormat(ModelFormat):
    """One self-contained ``.onnx`` file: no external data, no loops or branches, only the operators of ONNX Runtime."""

    name = "onnx"
    suffix = ".onnx"
    is_data_only = True

    def matches(self, head: bytes) -> bool:
        """A ``ModelProto`` begins with field 1, the IR version."""
        return len(head) > 2 and head[0] == 0x08 and 1 <= head[1] <= 64

    def save(self, model: Any, *, signature: ModelSignature | None = None) -> bytes:
        """Return the bytes of an ``onnx.ModelProto``, or of a file, once they are checked."""
        data = bytes(model) if isinstance(model, bytes | bytearray | memoryview) else bytes(model.SerializeToString())
        if signature is not None:
            data += metadata_entry(SIGNATURE_KEY, msgspec.json.encode(signature).decode())
        scan(data)
        return data

    def signature_of(self, data: bytes) -> ModelSignature:
        """Read our signature from the file's metadata, else derive one from the graph's inputs and outputs.

        A derived one names the first output ``predict``, and ``predict_proba`` the matrix of floats, or the ZipMap,
        beside a label.
        """
        from modelpool.core.formats.onnx_session import derive_signature, open_session

        facts = scan(data)
        written = written_signature(facts)
        return written if written is not None else derive_signature(open_session(data), facts)

    def load(self, data: bytes, signature: ModelSignature) -> LoadedModel:
        """Open a session of one thread; the model may be used by any number of threads."""
        scan(data, checks_trees=False)
        return self.load_own(data, signature)

    def load_own(self, data: bytes, signature: ModelSignature) -> LoadedModel:
        """Open a session; the scan would cost a small model a third of what loading it takes."""
        from modelpool.core.formats.onnx_session import OnnxModel

        return OnnxModel(data, signature)

    def check(self, data: bytes) -> None:
        """Look at every node of every tree."""
        scan(data)

    def preload(self) -> None:
        """Import ONNX Runtime and the protobuf reader."""
        import modelpool.core.formats.onnx_session  # noqa: F401
        from modelpool.core.formats.onnx_schema import model_type

        model_type()


def written_signature(facts: OnnxFacts) -> ModelSignature | None:
    """Return the signature in the metadata; raise :class:`~modelpool.core.errors.Invalid` when it is malformed."""
    text = facts.metadata.get(SIGNATURE_KEY)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=ModelSignature)
    except msgspec.DecodeError as error:
        raise Invalid(f"The file's metadata entry {SIGNATURE_KEY!r} is not a signature: {error}.") from error


def written_columns(metadata: Mapping[str, str]) -> dict[str, tuple[str, ...]] | None:
    """Return which columns make up each input, where the file's metadata says so."""
    text = metadata.get(COLUMNS_KEY)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, tuple[str, ...]])
    except msgspec.DecodeError as error:
        raise UnloadableModel(f"The file's metadata entry {COLUMNS_KEY!r} is malformed: {error}.") from error


def metadata_entry(key: str, value: str) -> bytes:
    """Return a ``metadata_props`` entry (field 14 of ModelProto) to append to a file: protobuf merges it."""
    entry = b"\x0a" + _sized(key.encode()) + b"\x12" + _sized(value.encode())
    return b"\x72" + _sized(entry)


def _sized(data: bytes) -> bytes:
    length, prefix = len(data), bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + data
