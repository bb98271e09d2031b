"""How bytes become a callable: one file per model format."""

from modelpool.core.formats.base import Arrays, LoadedModel, ModelFormat, TableArrays
from modelpool.core.formats.registry import FORMATS, detect_format

__all__ = [
    "FORMATS",
    "Arrays",
    "LoadedModel",
    "ModelFormat",
    "TableArrays",
    "detect_format",
]
