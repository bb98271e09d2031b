"""Texts and numbers that people write; the services check what is finer."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from modelpool.tenants.services import LEAST_RATE, MOST_BURST, MOST_DATASET_DAYS, MOST_RATE

Title = Annotated[str, Meta(max_length=200)]
Tags = Annotated[dict[str, str], Meta(description="Names and texts of your own.")]
Policy = Annotated[
    str | dict[str, Any],
    Meta(
        description="Which version is active: `latest`, `pinned`, or "
        '`{"name": "best_metric", "metric": "accuracy", "mode": "max", "min_improvement": 0}`.'
    ),
]
MetricName = Annotated[str, Meta(max_length=250)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Days = Annotated[int, Meta(ge=0, le=MOST_DATASET_DAYS, description="Days that new datasets are kept; 0: for good.")]
Rate = Annotated[float, Meta(ge=LEAST_RATE, le=MOST_RATE, description="Predictions in a second, on each node.")]
Burst = Annotated[int, Meta(ge=1, le=MOST_BURST, description="Predictions at once, after a rest.")]
Bytes = Annotated[int, Meta(ge=0, le=2**53)]
Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]
