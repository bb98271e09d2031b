"""JSON: ``instances``, ``inputs``, ``dataframe_split`` or ``dataframe_records``, and ``params``.

Rows are lists in the order of the signature's inputs or objects in any order; a nullable input may be ``null`` or
absent, any other may be neither, and what the signature does not know is refused. Types are not guessed: ``"5"`` and
``true`` are not numbers, ``5.0`` is a whole number, ``5.5`` is not. No rows give no predictions. In answers NaN is
``null``.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from modelpool.core.codecs.base import MAX_VALUES, Codec, Decoder, Encoder, InferenceRequest
from modelpool.core.codecs.json_exact import read_exactly
from modelpool.core.codecs.json_fast import FastReader
from modelpool.core.errors import TooLarge
from modelpool.core.signature import ModelSignature


class Answer(msgspec.Struct, omit_defaults=True):
    """The body of an answer; ``outputs`` holds what a method other than ``predict_proba`` gave."""

    predictions: list[Any]
    model: str
    version: int
    probabilities: list[Any] | UnsetType = UNSET
    classes: tuple[Any, ...] | UnsetType = UNSET
    outputs: dict[str, list[Any]] | UnsetType = UNSET


class JsonCodec(Codec):
    """``application/json``."""

    content_type = "application/json"

    def decoder(self, signature: ModelSignature) -> Decoder:
        """Return the reader of bodies for this signature."""
        try:
            read_fast = FastReader(signature).read
        except (TypeError, ValueError):
            return lambda body: read_exactly(_check_count(body), signature)

        def decode(body: bytes) -> InferenceRequest:
            if len(body) > MAX_VALUES:
                _check_count(body)
            request = read_fast(body)
            return request if request is not None else read_exactly(body, signature)

        return decode

    def encoder(self, signature: ModelSignature, *, model: str, version: int) -> Encoder:
        """Return the writer of ``{"predictions": […], "model": …, "version": n}``, probabilities where asked for."""
        tail = b"," + _encode(_Tail(model, version))[1:]
        classes = UNSET if signature.classes is None else signature.classes

        def encode(outputs: dict[str, np.ndarray]) -> bytes:
            if len(outputs) == 1:
                (values,) = outputs.values()
                return b'{"predictions":%b%b' % (_encode(values.tolist()), tail)
            first, *others = outputs
            answer = Answer(to_list(outputs[first]), model, version)
            for name in others:
                if name == "predict_proba":
                    answer.probabilities, answer.classes = to_list(outputs[name]), classes
                else:
                    answer.outputs = {name: to_list(outputs[name])}
            return _encode(answer)

        return encode


class _Tail(msgspec.Struct):
    model: str
    version: int


def to_list(array: np.ndarray) -> list[Any]:
    """Return nested lists of plain values."""
    values: list[Any] = array.tolist()
    return values


def _check_count(body: bytes) -> bytes:
    """Refuse bodies that would take far more memory as Python objects than as bytes."""
    if body.count(b",") > MAX_VALUES:
        raise TooLarge(MAX_VALUES, unit="values")
    return body


_encode = msgspec.json.Encoder().encode
