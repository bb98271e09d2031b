"""Traces by OpenTelemetry: off unless configured, and free then; the libraries are an extra and imported when needed.

A :class:`Trace` notes times while a request is answered; spans are made of them when it has ended, so that what is not
sampled costs nothing but a look at its header.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from modelpool.core.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind

Attributes = Mapping[str, str | int | float | bool]

_NS = 1_000_000_000
_END_S = 5


class Trace:
    """One request or job that is traced: its steps, one after the other."""

    __slots__ = ("_context", "_steps", "_tracer", "began_ns")

    def __init__(self, tracer: Tracer, context: Context | None) -> None:
        self._tracer = tracer
        self._context = context
        self._steps: list[tuple[str, int]] = []
        self.began_ns = time.time_ns()

    def mark(self, step: str) -> None:
        """End a step, which began when the one before ended."""
        self._steps.append((step, time.time_ns()))

    def end(self, name: str, attributes: Attributes, *, is_error: bool = False) -> None:
        """Hand the spans over; they are sent in the background."""
        self._tracer.export(self, name, attributes, is_error=is_error, steps=self._steps, context=self._context)


class Tracer:
    """Sends traces to ``endpoint``, an address that takes OTLP over HTTP, such as ``http://localhost:4318``."""

    def __init__(self, endpoint: str, *, sample_ratio: float, service_name: str, process: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        address = endpoint if endpoint.endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"
        node = {"service.name": service_name, "service.instance.id": socket.gethostname(), "process.title": process}
        self._provider = TracerProvider(resource=Resource.create(node), sampler=ALWAYS_ON, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(address)))
        self._tracer = self._provider.get_tracer("modelpool")
        self._extract = TraceContextTextMapPropagator().extract
        self._kinds: dict[bool, SpanKind] = {True: SpanKind.SERVER, False: SpanKind.INTERNAL}
        self._sample_ratio = sample_ratio

    def begin(self, traceparent: bytes | None = None) -> Trace | None:
        """Return a trace where this request is to be traced; ``traceparent`` is the header of W3C's Trace Context.

        What the caller traces is traced; what nobody began is sampled.
        """
        if traceparent is None:
            return Trace(self, None) if random.random() < self._sample_ratio else None  # noqa: S311 - a sample
        from opentelemetry.trace import get_current_span

        context = self._extract({"traceparent": traceparent.decode("latin-1")})
        caller = get_current_span(context).get_span_context()
        if not caller.is_valid:
            return self.begin()
        return Trace(self, context) if caller.trace_flags.sampled else None

    def export(
        self,
        trace: Trace,
        name: str,
        attributes: Attributes,
        *,
        is_error: bool,
        steps: list[tuple[str, int]],
        context: Context | None,
    ) -> None:
        """Make the spans of a trace that has ended."""
        from opentelemetry.context import Context
        from opentelemetry.trace import StatusCode, set_span_in_context

        whole = self._tracer.start_span(
            name,
            context=context or Context(),
            kind=self._kinds[name != "job"],
            attributes=dict(attributes),
            start_time=trace.began_ns,
        )
        if is_error:
            whole.set_status(StatusCode.ERROR)
        inside = set_span_in_context(whole, Context())
        began_ns = trace.began_ns
        for step, ended_ns in steps:
            self._tracer.start_span(step, context=inside, start_time=began_ns).end(ended_ns)
            began_ns = ended_ns
        whole.end(time.time_ns())

    def close(self) -> None:
        """Send what is left, for a moment; a collector that takes it and does not answer is left to itself.

        The exporter goes on trying for longer than it is told to, so it is waited for here.
        """
        ending = threading.Thread(target=self._provider.shutdown, name="modelpool-traces-end", daemon=True)
        ending.start()
        ending.join(_END_S)


def check_tracing(endpoint: str | None) -> None:
    """Raise :class:`ConfigurationError` where traces are wanted and the libraries are not installed."""
    if endpoint is None:
        return
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(f"tracing.endpoint: {endpoint!r} is not an address such as http://localhost:4318")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ConfigurationError(
            "tracing.endpoint is set, but OpenTelemetry is not installed; run: pip install 'modelpool[otel]'"
        )


_current: Tracer | None = None


def use_tracer(tracer: Tracer | None) -> None:
    """Say by what this process traces; ``None`` is by nothing."""
    global _current  # noqa: PLW0603 - there is one per process
    _current = tracer


def current_tracer() -> Tracer | None:
    """Return what this process traces by."""
    return _current
