"""What is counted of predictions; right across processes when ``PROMETHEUS_MULTIPROC_DIR`` is set before the import."""

from __future__ import annotations

from prometheus_client import Histogram

SECONDS = Histogram(
    "modelpool_prediction_seconds",
    "Time from the head of a prediction's request to its answer, by wire and status; its count is that of requests.",
    ["wire", "status"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0),
)


class PredictionMeter:
    """Counts the answers of one wire; its children of the histogram are looked up once for each status."""

    def __init__(self, wire: str) -> None:
        self._wire = wire
        self._observe = {200: SECONDS.labels(wire, "200").observe}

    def count(self, status: int, seconds: float) -> None:
        """Record one answer."""
        observe = self._observe.get(status)
        if observe is None:
            observe = self._observe[status] = SECONDS.labels(self._wire, str(status)).observe
        observe(seconds)
