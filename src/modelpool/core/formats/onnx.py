"""The ONNX format, run by ONNX Runtime."""

from __future__ import annotations

from typing import Any

from modelpool.core.formats.base import LoadedModel, ModelFormat
from modelpool.core.signature import ModelSignature


class OnnxFormat(ModelFormat):
    """One self-contained ``.onnx`` file: no external data, no loops or branches, only the operators of ONNX Runtime."""

    name = "onnx"
    suffix = ".onnx"
    is_data_only = True

    def matches(self, head: bytes) -> bool:
        """A ``ModelProto`` begins with field 1, the IR version."""
        return len(head) > 2 and head[0] == 0x08 and 1 <= head[1] <= 64

    def save(self, model: Any, *, signature: ModelSignature | None = None) -> bytes:
        """Check and return the bytes of a ``ModelProto`` or of a file."""
        raise NotImplementedError

    def signature_of(self, data: bytes) -> ModelSignature:
        """Read our signature from the file's metadata, else derive one from the graph's inputs and outputs."""
        raise NotImplementedError

    def load(self, data: bytes, signature: ModelSignature) -> LoadedModel:
        """Open a session."""
        raise NotImplementedError
