"""``/metrics``: the counters of all processes in Prometheus' text form.

Anybody may read the totals; labels that name tenants or models are shown to an operator's key alone, and are summed
away for others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from django.db import close_old_connections
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector
from prometheus_client.samples import Sample

from modelpool.tenants.authentication import find_principal

PRIVATE_LABELS = frozenset({"tenant", "model", "version", "alias"})

REQUESTS = Counter(
    "modelpool_http_requests", "Requests answered by Django, by method and class of status.", ["method", "status"]
)
SECONDS = Histogram(
    "modelpool_http_request_seconds", "Time from the head of a request to the end of its answer, in Django.", ["method"]
)


def count_request(method: str, *, status: int, seconds: float) -> None:
    """Record one request that went through Django."""
    REQUESTS.labels(method, f"{status // 100}xx").inc()
    SECONDS.labels(method).observe(seconds)


def render_metrics(headers: Mapping[bytes, bytes]) -> tuple[bytes, str]:
    """Return the page for who asks, and its content type."""
    registry = CollectorRegistry()
    source: Collector = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        source = MultiProcessCollector(None)  # type: ignore[no-untyped-call]
    registry.register(source if _is_operator(headers) else _Totals(source))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Totals(Collector):
    """The same metrics with the private labels summed away."""

    def __init__(self, source: Collector) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Yield each metric without labels of tenants."""
        for metric in self._source.collect():
            public = Metric(metric.name, metric.documentation, metric.type)
            public.samples = list(_summed(metric.samples))
            yield public


def _summed(samples: Iterable[Sample]) -> Iterator[Sample]:
    totals: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in samples:
        labels = tuple(item for item in sample.labels.items() if item[0] not in PRIVATE_LABELS)
        totals[sample.name, labels] = totals.get((sample.name, labels), 0.0) + sample.value
    for (name, labels), value in totals.items():
        yield Sample(name, dict(labels), value)


def _is_operator(headers: Mapping[bytes, bytes]) -> bool:
    scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        return False
    close_old_connections()
    try:
        principal = find_principal(secret.strip())
    finally:
        close_old_connections()
    return principal is not None and principal.is_operator
