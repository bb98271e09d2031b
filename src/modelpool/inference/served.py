"""A version in memory, with everything that is worked out once: its readers of bodies, and what a row costs."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

from modelpool.core.codecs.base import Decoder, Encoder, InferenceRequest, outputs_of_method
from modelpool.core.codecs.json import JsonCodec
from modelpool.core.codecs.registry import find_codec
from modelpool.core.errors import Invalid, ModelpoolError, ModelUnavailable, VersionNotFound
from modelpool.core.formats.base import LoadedModel
from modelpool.core.formats.registry import FORMATS
from modelpool.core.runtime.isolation import ModelHost
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.inference.lookup import Route, with_database
from modelpool.storage.models import Artifact
from modelpool.storage.services import read_artifact

logger = logging.getLogger(__name__)

_MAX_CONTENT_TYPES = 16
_WARM_UP_CALLS = 3
_NEW_SHARE = 0.1  # of the newest call in the running mean of what a row costs
_READER_BYTES = 20_000  # of the types that read bodies, and 500 more for each input (measured with 30 columns)
_READER_BYTES_PER_INPUT = 500

_UNLOADABLE_RETRY_S = 30.0

Reader = tuple[Decoder, Encoder]


class ServedModel:
    """What the pool keeps for one version."""

    def __init__(self, model: LoadedModel, route: Route) -> None:
        self.runs_inline = route.runs_inline
        self.row_cost_s = 0.0
        self._model = model
        self._predict = model.predict
        self._name, self._number = route.model, route.number
        self._signature = route.signature
        self._readers: dict[bytes, Reader] = {}
        self._by_codec: dict[str, Reader] = {}
        self._size_bytes = model.size_bytes + _READER_BYTES + _READER_BYTES_PER_INPUT * len(route.signature.inputs)
        self._warm_up()

    @property
    def size_bytes(self) -> int:
        """The memory of the model and of its readers."""
        return self._size_bytes

    def close(self) -> None:
        """Close the model."""
        self._model.close()

    def read(self, body: bytes, *, content_type: bytes, method: str | None = None) -> tuple[InferenceRequest, Encoder]:
        """Return the request that the body holds, and the writer of its answer.

        ``method`` of the query wins over that of the body.
        """
        decode, encode = self._readers.get(content_type) or self._make_reader(content_type)
        request = decode(body)
        if method is not None:
            outputs = outputs_of_method(self._signature, method)
            request = InferenceRequest(request.inputs, request.n_rows, outputs)
        return request, encode

    def answer(self, request: InferenceRequest, encode: Encoder) -> bytes:
        """Run the model and write its answer."""
        n_rows = request.n_rows
        if not n_rows:
            return encode(_empty_outputs(self._signature, request.outputs))
        began = perf_counter()
        outputs = self._predict(request.inputs, request.outputs)
        self.row_cost_s += _NEW_SHARE * ((perf_counter() - began) / n_rows - self.row_cost_s)
        return encode(outputs)

    def _make_reader(self, content_type: bytes) -> Reader:
        codec = find_codec(content_type.decode("latin-1"))
        reader = self._by_codec.get(codec.content_type)
        if reader is None:
            encode = codec.encoder(self._signature, model=self._name, version=self._number)
            reader = self._by_codec[codec.content_type] = (codec.decoder(self._signature), encode)
        if len(self._readers) < _MAX_CONTENT_TYPES:
            self._readers[content_type] = reader
        return reader

    def _warm_up(self) -> None:
        """Predict an example row a few times, so that the first request finds everything made, and its cost known."""
        example = self._signature.example or {spec.name: _placeholder(spec) for spec in self._signature.inputs}
        body = msgspec.json.encode({"instances": [example]})
        try:
            request, _ = self.read(body, content_type=JsonCodec.content_type.encode())
            costs = []
            for _ in range(_WARM_UP_CALLS):
                began = perf_counter()
                self._model.predict(request.inputs, request.outputs)
                costs.append(perf_counter() - began)
            self.row_cost_s = min(costs)
        except Invalid as error:
            logger.warning("version %s of %s does not answer its own example: %s", self._number, self._name, error)


@with_database
def load_version(route: Route, host: ModelHost) -> ServedModel:
    """Read the verified file and load it: in this process when it is compiled by us, in a child process otherwise."""
    artifact = Artifact.objects.for_tenant(route.key.tenant_id).filter(pk=route.artifact_id).first()
    if artifact is None or artifact.state != Artifact.State.READY:
        raise VersionNotFound(route.model, route.number)
    model = _load_model(read_artifact(artifact), route, host=host)
    try:
        return ServedModel(model, route)
    except ModelpoolError:
        model.close()
        raise


def _load_model(data: bytes, route: Route, *, host: ModelHost) -> LoadedModel:
    try:
        if route.runs_inline:
            return FORMATS.get(route.format).load(data, route.signature)
        return host.load(data, format=route.format, signature=route.signature)
    except Invalid as error:  # the caller's request is none of its causes
        detail = f"Version {route.number} of {route.model!r} cannot be loaded: {error.detail}"
        raise ModelUnavailable(detail, retry_after_s=_UNLOADABLE_RETRY_S) from error


def _placeholder(spec: TensorSpec) -> Any:
    """A value on the wire that any model of this signature takes."""
    value: Any = {"string": "", "bool": False, "datetime": "2000-01-01T00:00:00Z"}.get(spec.dtype, 0)
    for size in reversed(spec.shape[1:]):
        value = [value] * max(size, 1)
    return value


def _empty_outputs(signature: ModelSignature, names: tuple[str, ...]) -> dict[str, np.ndarray[Any, Any]]:
    shapes = {spec.name: (0, *(max(size, 0) for size in spec.shape[1:])) for spec in signature.outputs}
    return {name: np.empty(shapes[name], object) for name in names}
