"""A prediction on its way to a model, and the limits of the queues it waits in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from modelpool.conf import ServingSettings
from modelpool.core.codecs.base import Encoder, InferenceRequest
from modelpool.core.errors import ModelUnavailable
from modelpool.core.runtime.batching import bytes_of, layout_of
from modelpool.core.tracing import Trace


class QueueLimits(msgspec.Struct, frozen=True):
    """What may wait in one process, and how long it is expected to at most."""

    per_model: int
    per_tenant: int
    wait_s: float
    timeout_s: float
    batch_rows: int
    batch_bytes: int

    @classmethod
    def of(cls, settings: ServingSettings) -> QueueLimits:
        """Return those of the settings."""
        return cls(
            per_model=settings.max_queue_per_model,
            per_tenant=settings.max_queue_per_tenant,
            wait_s=float(settings.max_queue_wait),
            timeout_s=float(settings.predict_timeout),
            batch_rows=settings.max_batch_rows,
            batch_bytes=int(settings.max_batch_bytes),
        )


class Tenants:
    """How many calls each tenant has in the queues and models of this process; used in one event loop."""

    def __init__(self) -> None:
        self.counts: Counter[Any] = Counter()

    def enter(self, tenant: Any) -> None:
        """Count one more."""
        self.counts[tenant] += 1

    def leave(self, tenant: Any) -> None:
        """Count one less."""
        self.counts[tenant] -= 1
        if not self.counts[tenant]:
            del self.counts[tenant]


class Suspects:
    """Calls that failed together and run alone now: if all of them succeed, it was joining them that failed."""

    __slots__ = ("has_failed", "left")

    def __init__(self, count: int) -> None:
        self.left = count
        self.has_failed = False


class Call:
    """One request; ``release`` gives back its pin of the model, once, when the model is done with it."""

    __slots__ = (
        "arrived", "deadline", "encode", "future", "has_left", "is_alone", "is_retried", "layout", "n_bytes",
        "n_rows", "release", "request", "suspects", "timer", "trace",
    )  # fmt: skip

    def __init__(
        self,
        request: InferenceRequest,
        encode: Encoder,
        *,
        arrived: float,
        deadline: float,
        release: Callable[[], None],
        trace: Trace | None = None,
    ) -> None:
        self.request, self.encode = request, encode
        self.n_rows = request.n_rows
        self.n_bytes = bytes_of(request.inputs)
        self.layout = layout_of(request.inputs, request.outputs)
        self.arrived, self.deadline = arrived, deadline
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.release = release
        self.is_alone = self.is_retried = self.has_left = False
        self.suspects: Suspects | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.trace = trace

    def fail(self, error: BaseException) -> None:
        """Give its caller an error, unless that has left."""
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        """Tell its caller that it took too long."""
        limit = self.deadline - self.arrived
        self.fail(ModelUnavailable(f"The prediction took longer than {limit:g} s.", retry_after_s=1))
