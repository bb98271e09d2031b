"""A version in memory, with everything that is worked out once: its readers of bodies, and what its calls cost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import numpy as np

from modelpool.core.codecs.base import Decoder, Encoder, InferenceRequest, outputs_of_method
from modelpool.core.codecs.json import JsonCodec
from modelpool.core.codecs.registry import find_codec
from modelpool.core.errors import Invalid, ModelpoolError, ModelUnavailable
from modelpool.core.formats.base import LoadedModel
from modelpool.core.formats.registry import FORMATS
from modelpool.core.runtime.batching import CostModel
from modelpool.core.runtime.memory import LoadMeter
from modelpool.core.runtime.process.isolated_model import IsolatedModel
from modelpool.core.runtime.process.isolation import ModelHost
from modelpool.core.signature import ModelSignature, TensorSpec
from modelpool.inference.loading.trials import Trial, try_rows
from modelpool.inference.resolution.lookup import Route, with_database
from modelpool.inference.resolution.trust import read_signed

if TYPE_CHECKING:
    from modelpool.inference.queues.lanes import ModelLane

logger = logging.getLogger(__name__)

_MAX_CONTENT_TYPES = 16
_LEARN_EVERY = 16  # calls that run inline; those that take too long are always learnt from
_READER_BYTES = 20_000  # of the types that read bodies, and 500 more for each input (measured with 30 columns)
_READER_BYTES_PER_INPUT = 500

_UNLOADABLE_RETRY_S = 30.0
_NO_ROOM_RETRY_S = 2.0

_meter = LoadMeter()

_MAX_TRIALS = 10_000
_trials: dict[UUID, Trial] = {}
"""What was found out of versions when they were loaded first."""

Reader = tuple[Decoder, Encoder]
Watch = Callable[[IsolatedModel, Route], None]


class ServedModel:
    """What the pool keeps for one version.

    A call of up to ``inline_rows`` rows is expected to take no longer than ``inline_limit_s``, and runs in the event
    loop; 0 for a model that is not compiled. ``joins`` says that rows of several requests may be computed together.
    """

    def __init__(self, model: LoadedModel, route: Route, *, inline_limit_s: float) -> None:
        self.key = route.key
        self.runs_inline = route.runs_inline
        self.model = model
        self.cost = CostModel()
        self.joins = False
        self.inline_rows = 0
        self.lane: ModelLane | None = None
        self._inline_limit_s = inline_limit_s
        self._calls = 0
        self._predict = model.predict
        self._name, self._number = route.model, route.number
        self._signature = route.signature
        self._readers: dict[bytes, Reader] = {}
        self._by_codec: dict[str, Reader] = {}
        self._readers_bytes = _READER_BYTES + _READER_BYTES_PER_INPUT * len(route.signature.inputs)
        self._measured_bytes = 0
        self._warm_up()

    @property
    def size_bytes(self) -> int:
        """The memory of the model and of its readers."""
        return (self._measured_bytes or self.model.size_bytes) + self._readers_bytes

    @property
    def is_given_up(self) -> bool:
        """Whether its process failed too often, and is not started again for a while."""
        return isinstance(self.model, IsolatedModel) and self.model.is_given_up

    def measure(self, size_bytes: int = 0) -> None:
        """Take ``size_bytes``, or for a model in a child process what that takes now, for the size of the model."""
        self._measured_bytes = size_bytes
        if isinstance(self.model, IsolatedModel):
            self._measured_bytes = 0
            self.model.measure()

    def close(self) -> None:
        """Close the model."""
        if self.lane is not None:
            self.lane.detach()
        self.model.close()

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
        """Run the model here and now, and write its answer."""
        n_rows = request.n_rows
        if not n_rows:
            return encode(self.empty_outputs(request))
        began = perf_counter()
        outputs = self._predict(request.inputs, request.outputs)
        elapsed_s = perf_counter() - began
        self._calls += 1
        if elapsed_s > self._inline_limit_s or not self._calls % _LEARN_EVERY:
            self.learn(n_rows, elapsed_s)
        for array in outputs.values():
            if len(array) != n_rows:
                raise ModelUnavailable(f"The model gave {len(array)} rows for the {n_rows} that were asked for.")
        return encode(outputs)

    def learn(self, n_rows: int, seconds: float) -> None:
        """Take a call's cost into account."""
        self.cost.observe(n_rows, seconds)
        self.inline_rows = self.cost.rows_within(self._inline_limit_s) if self.runs_inline else 0

    def empty_outputs(self, request: InferenceRequest) -> dict[str, np.ndarray[Any, Any]]:
        """Return what answers a request of no rows."""
        return _empty_outputs(self._signature, request.outputs)

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
        """Predict the example, alone and with other rows, so that the first request finds everything made.

        That also tells what calls cost, and whether rows may be joined. A version that was in memory before is known.
        """
        example = self._signature.example or {spec.name: _placeholder(spec) for spec in self._signature.inputs}
        trial = _trials.get(self.key.version_id)
        try:
            if trial is None:
                trial = try_rows(
                    self.model, lambda n_rows: self._example_rows(example, n_rows), is_own_thread=self.runs_inline
                )
                _remember(self.key.version_id, trial)
            else:
                one = self._example_rows(example, 1)
                self._predict(one.inputs, one.outputs)
        except Invalid as error:
            logger.warning("version %s of %s does not answer its own example: %s", self._number, self._name, error)
            return
        self.joins = trial.joins
        for n_rows, seconds in trial.calls:
            self.learn(n_rows, seconds)

    def _example_rows(self, example: dict[str, Any], n_rows: int) -> InferenceRequest:
        body = msgspec.json.encode({"instances": [example] * n_rows})
        return self.read(body, content_type=JsonCodec.content_type.encode())[0]


@with_database
def load_version(route: Route, host: ModelHost, *, watch: Watch, inline_limit_s: float) -> ServedModel:
    """Read the verified file and load it: in this process when it is compiled by us, in a child process otherwise.

    ``watch`` is given a model in a child process, to follow its faults.
    """
    data = read_signed(route)

    def load() -> ServedModel:
        model = _load_model(data, route, host=host)
        if isinstance(model, IsolatedModel):
            watch(model, route)
        try:
            return ServedModel(model, route, inline_limit_s=inline_limit_s)
        except ModelpoolError:
            model.close()
            raise

    if not route.runs_inline:
        return load()
    served, size_bytes = _meter.measure(load, said=lambda served: served.model.size_bytes)
    served.measure(size_bytes)
    return served


def _load_model(data: bytes, route: Route, *, host: ModelHost) -> LoadedModel:
    try:
        if route.runs_inline:
            return FORMATS.get(route.format).load_own(data, route.signature)
        return host.load(data, format=route.format, signature=route.signature, is_trained=route.is_trained)
    except Invalid as error:  # the caller's request is none of its causes
        detail = f"Version {route.number} of {route.model!r} cannot be loaded: {error.detail}"
        raise ModelUnavailable(detail, retry_after_s=_UNLOADABLE_RETRY_S) from error
    except OSError as error:  # no memory, descriptors or processes are left on this node
        detail = f"Version {route.number} of {route.model!r} cannot be loaded now: {error.strerror or error}."
        raise ModelUnavailable(detail, retry_after_s=_NO_ROOM_RETRY_S) from error


def _remember(version_id: UUID, trial: Trial) -> None:
    while len(_trials) >= _MAX_TRIALS:
        _trials.pop(next(iter(_trials), version_id), None)
    _trials[version_id] = trial


def _placeholder(spec: TensorSpec) -> Any:
    """A value on the wire that any model of this signature takes."""
    value: Any = {"string": "", "bool": False, "datetime": "2000-01-01T00:00:00Z"}.get(spec.dtype, 0)
    for size in reversed(spec.shape[1:]):
        value = [value] * max(size, 1)
    return value


def _empty_outputs(signature: ModelSignature, names: tuple[str, ...]) -> dict[str, np.ndarray[Any, Any]]:
    shapes = {spec.name: (0, *(max(size, 0) for size in spec.shape[1:])) for spec in signature.outputs}
    return {name: np.empty(shapes[name], object) for name in names}
