"""The contract of a codec: a request's bytes to checked arrays, and answers to bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import msgspec
import numpy as np

from modelpool.core.errors import FieldError, SignatureMismatch
from modelpool.core.formats.base import Arrays
from modelpool.core.signature import ModelSignature

MAX_VALUES = 5_000_000
"""More values than this in one body are refused: Python objects take 32 bytes for what may be two on the wire."""


class InferenceRequest(msgspec.Struct, frozen=True):
    """Inputs that fit the signature, and which outputs are asked for."""

    inputs: Arrays
    n_rows: int
    outputs: tuple[str, ...]


Decoder = Callable[[bytes], InferenceRequest]
Encoder = Callable[[dict[str, np.ndarray]], bytes]


class Codec(ABC):
    """One content type of prediction requests."""

    content_type: ClassVar[str]

    @abstractmethod
    def decoder(self, signature: ModelSignature) -> Decoder:
        """Return a function that reads bodies for this signature; it is built once per loaded version.

        The function raises :class:`~modelpool.core.errors.Malformed` for bytes that are not of this content type,
        :class:`~modelpool.core.errors.SignatureMismatch`, naming column and row, for what does not fit, and
        :class:`~modelpool.core.errors.TooLarge` for more than :data:`MAX_VALUES` values.
        """

    @abstractmethod
    def encoder(self, signature: ModelSignature, *, model: str, version: int) -> Encoder:
        """Return a function that writes answers of this version; it is built once, like the decoder.

        The function gets the outputs that a request asked for: the first method's, and another one's where that was
        asked for. The answer names ``model`` and ``version``; classes stand beside probabilities.
        """


def outputs_of_method(signature: ModelSignature, method: str | None) -> tuple[str, ...]:
    """Return the outputs that answer ``method``: the first one always, and the one asked for.

    Raises :class:`~modelpool.core.errors.SignatureMismatch` that lists the methods the model has.
    """
    methods = signature.methods
    if method is None or method == methods[0]:
        return methods[:1]
    if method in methods:
        return (methods[0], method)
    detail = f"this model has no method {method[:80]!r}; it has {', '.join(methods)}"
    raise SignatureMismatch(
        f"params.method: {detail}.",
        errors=[FieldError("params.method", detail, "unknown_method")],
    )
