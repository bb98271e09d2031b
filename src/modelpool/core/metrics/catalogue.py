"""Every metric of Modelpool; ``docs/reference/metrics.md`` lists them, and a test holds both together."""

from __future__ import annotations

from modelpool.core.metrics.families import counter, gauge, histogram

# --- predictions ------------------------------------------------------------------------------------------------------

PREDICTIONS = counter(
    "modelpool_predictions_total",
    "Answers to predictions by wire, status and version.",
    "wire",
    "status",
    "tenant",
    "model",
    "version",
)
PREDICTION_SECONDS = histogram(
    "modelpool_prediction_seconds",
    "Time from the head of a prediction's request to its answer, of those answered with 200.",
    "tenant",
    "model",
    "version",
)
REJECTED = counter(
    "modelpool_rejected_total",
    "Predictions that were answered with 429 or 503, by the code of the error.",
    "reason",
)
UNDER_WAY = gauge("modelpool_predictions_under_way", "Predictions that are being answered now.")
QUEUE_SECONDS = histogram("modelpool_queue_seconds", "Time that predictions waited for a model that was busy.")
BATCH_ROWS = histogram(
    "modelpool_batch_rows",
    "Rows that were computed together, in one call of a model.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 1024),
)
SHADOWED = counter(
    "modelpool_shadow_total",
    "Predictions mirrored to a shadow version: equal, differing, failed or dropped.",
    "outcome",
)

# --- the pool of loaded models ----------------------------------------------------------------------------------------

POOL_BYTES = gauge("modelpool_pool_bytes", "Memory that loaded models take, in all web processes.")
POOL_BUDGET_BYTES = gauge("modelpool_pool_budget_bytes", "Memory that loaded models may take, in all web processes.")
POOL_MODELS = gauge("modelpool_pool_models", "Models in memory, counted once for each web process.")
POOL_LOADS = counter("modelpool_pool_loads_total", "Models loaded into memory.")
POOL_FAILED_LOADS = counter("modelpool_pool_failed_loads_total", "Loads that failed.")
POOL_EVICTIONS = counter("modelpool_pool_evictions_total", "Models put out of memory to make room.")
POOL_EVICTION_AGE = histogram(
    "modelpool_pool_eviction_age_seconds",
    "Time since the last use of a model that was put out of memory; small ages say that the budget is too small.",
    buckets=(1, 10, 60, 300, 1800, 3600, 21600, 86400, 604800),
)
COLD_START_SECONDS = histogram(
    "modelpool_cold_start_seconds", "Time to read and load a model that was asked for and not in memory."
)

# --- processes of models ----------------------------------------------------------------------------------------------

MODEL_RESTARTS = counter(
    "modelpool_model_restarts_total", "Processes of isolated models that were started again after they died."
)
MODEL_QUARANTINES = counter("modelpool_model_quarantines_total", "Versions put into quarantine after repeated faults.")

# --- the server -------------------------------------------------------------------------------------------------------

HTTP_REQUESTS = counter(
    "modelpool_http_requests_total",
    "Requests other than predictions, by method and class of status.",
    "method",
    "status",
)
HTTP_SECONDS = histogram(
    "modelpool_http_request_seconds", "Time from the head of a request to the end of its answer, by method.", "method"
)
READY = gauge("modelpool_ready", "1 when every web process is ready, 0 when one is not.", merge="min")
FEED_READ_AT = gauge(
    "modelpool_feed_read_timestamp_seconds",
    "When the change feed was last read, in seconds since 1970, in the web process where it is longest ago.",
    merge="min",
)
