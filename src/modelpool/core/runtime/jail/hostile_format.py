"""A file whose loading tries what a hostile model would: for the self-test, in a model process like any other."""

from __future__ import annotations

import errno
import json
from typing import Any

from modelpool.core.errors import UnloadableModel, UntrustedFormat
from modelpool.core.formats.base import LoadedModel, ModelFormat
from modelpool.core.signature import ModelSignature

SELF_TEST = "self-test"
"""The format's name; it is not registered, so nobody can upload a file of it."""

ESCAPED, STOPPED = "escaped", "stopped"
"""The first word of what the process reports."""


class HostileFormat(ModelFormat):
    """JSON with the name of an attempt (``attempts.py``) and its arguments."""

    name = SELF_TEST
    suffix = ".hostile"
    is_data_only = False

    def matches(self, head: bytes) -> bool:
        """No file is."""
        return False

    def save(self, model: Any, *, signature: ModelSignature | None = None) -> bytes:
        """There is no such model."""
        raise UntrustedFormat("The format of the self-test is not written.")

    def signature_of(self, data: bytes) -> ModelSignature:
        """Try it, and say how it ended in the error."""
        from modelpool.core.runtime.jail.attempts import ATTEMPTS, ENDINGS

        request = json.loads(data)
        try:
            got = {**ATTEMPTS, **ENDINGS}[request["attempt"]](request["arguments"])
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, type(error).__name__)
            raise UnloadableModel(f"{STOPPED} {name}") from error
        except MemoryError as error:
            raise UnloadableModel(f"{STOPPED} MemoryError") from error
        raise UnloadableModel(f"{ESCAPED} {str(got)[:100]!r}")

    def load(self, data: bytes, signature: ModelSignature) -> LoadedModel:
        """Do as :meth:`signature_of`."""
        self.signature_of(data)
        raise UntrustedFormat("The format of the self-test is not loaded.")

    def preload(self) -> None:
        """Import ONNX Runtime, and what is tried."""
        import onnxruntime  # type: ignore[import-untyped]  # noqa: F401

        import modelpool.core.runtime.jail.attempts  # noqa: F401
