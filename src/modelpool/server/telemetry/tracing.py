"""Switching traces on for a process, where the settings say so."""

from __future__ import annotations

from modelpool.conf import TracingSettings
from modelpool.core.tracing import Tracer, check_tracing, use_tracer


def start_tracing(settings: TracingSettings, *, process: str) -> Tracer | None:
    """Trace from now on, and return by what; ``None`` where no endpoint is set."""
    if settings.endpoint is None:
        return None
    check_tracing(settings.endpoint)
    tracer = Tracer(
        settings.endpoint, sample_ratio=settings.sample_ratio, service_name=settings.service_name, process=process
    )
    use_tracer(tracer)
    return tracer
