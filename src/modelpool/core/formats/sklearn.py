"""Fitted scikit-learn estimators, written with skops."""

from __future__ import annotations

from typing import Any

from modelpool.core.formats.base import LoadedModel, ModelFormat
from modelpool.core.signature import ModelSignature


class SklearnFormat(ModelFormat):
    """A ``.skops`` file whose types are all on the reviewed list; our signature is the zip member ``modelpool.json``."""

    name = "sklearn"
    suffix = ".skops"
    is_data_only = True

    def matches(self, head: bytes) -> bool:
        """A skops file is a zip archive."""
        return head.startswith(b"PK\x03\x04")

    def save(self, model: Any, *, signature: ModelSignature | None = None) -> bytes:
        """Write a fitted estimator."""
        raise NotImplementedError

    def signature_of(self, data: bytes) -> ModelSignature:
        """Read our signature, else derive one from what the estimator remembers of its fit."""
        raise NotImplementedError

    def load(self, data: bytes, signature: ModelSignature) -> LoadedModel:
        """Audit, build and check the estimator."""
        raise NotImplementedError
