"""The contract of a codec: a request's bytes to checked arrays, and answers to bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from modelpool.core.formats.base import Arrays
from modelpool.core.signature import ModelSignature


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """Inputs that fit the signature, and which outputs are asked for."""

    inputs: Arrays
    n_rows: int
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InferenceResponse:
    """What a model answered, with the version that did; ``classes`` only where probabilities were asked for."""

    model: str
    version: int
    outputs: dict[str, np.ndarray]
    classes: tuple[Any, ...] | None = None


Decoder = Callable[[bytes], InferenceRequest]


class Codec(ABC):
    """One content type of prediction requests."""

    content_type: ClassVar[str]

    @abstractmethod
    def decoder(self, signature: ModelSignature) -> Decoder:
        """Return a function that reads bodies for this signature; it is built once per loaded version.

        The function raises :class:`~modelpool.core.errors.Malformed` for bytes that are not of this content type,
        and :class:`~modelpool.core.errors.SignatureMismatch`, naming column and row, for what does not fit.
        """

    @abstractmethod
    def encode(self, response: InferenceResponse) -> bytes:
        """Write an answer."""
