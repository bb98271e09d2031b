"""The formats that are installed, and how a file's format is told from its first bytes."""

from __future__ import annotations

from pathlib import PurePath

from modelpool.core.errors import UnloadableModel
from modelpool.core.formats.base import ModelFormat
from modelpool.core.formats.code_formats import refuse_code
from modelpool.core.formats.onnx import OnnxFormat
from modelpool.core.formats.sklearn import SklearnFormat
from modelpool.core.plugins import PluginRegistry

HEAD_BYTES = 64
"""How many first bytes :func:`detect_format` looks at."""


class FormatRegistry(PluginRegistry[ModelFormat]):
    """Formats by name: ``FORMATS["onnx"]``; ``KeyError`` for one that is not installed."""

    def __getitem__(self, name: str) -> ModelFormat:
        return self.get(name)


FORMATS = FormatRegistry("modelpool.formats")
FORMATS.register(OnnxFormat.name, OnnxFormat())
FORMATS.register(SklearnFormat.name, SklearnFormat())


def detect_format(head: bytes, filename: str | None = None) -> ModelFormat:
    """Return the format of a file that begins with ``head``; the content decides, the name only between candidates.

    Raises :class:`~modelpool.core.errors.UntrustedFormat` for forms that can run code (pickle, joblib, torch …) under
    whatever name, and :class:`~modelpool.core.errors.UnloadableModel` for anything else that is not known. Nothing
    is parsed, so this is safe in a web process.
    """
    head = head[:HEAD_BYTES]
    suffix = PurePath(filename or "").suffix.lower()
    refuse_code(head, suffix=suffix)
    candidates = [plugin for _, plugin in FORMATS if plugin.matches(head)]
    named = [plugin for plugin in candidates if plugin.suffix == suffix]
    if named or len(candidates) == 1:
        return (named or candidates)[0]
    known = ", ".join(f"{name} ({plugin.suffix})" for name, plugin in FORMATS)
    raise UnloadableModel(f"The file is of no format that is known here; upload one of: {known}.")
