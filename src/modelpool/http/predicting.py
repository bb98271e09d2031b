"""Predictions that reach Django, from browsers' sessions and the console: admitted and counted as those of keys are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from types import MappingProxyType

from modelpool.core.errors import ModelpoolError
from modelpool.core.metrics import catalogue
from modelpool.core.problems import status_of
from modelpool.inference.current import current_data_plane
from modelpool.inference.observation.metrics import METERS
from modelpool.inference.resolution.lookup import Route, RouteKey, Selector
from modelpool.inference.resolution.rate_limits import rate_limits
from modelpool.tenants.models import Tenant

_NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})


def predict(
    tenant: Tenant,
    *,
    model: str,
    selector: Selector,
    body: bytes,
    content_type: bytes,
    method: str | None = None,
    headers: Mapping[bytes, bytes] = _NO_HEADERS,
    is_operator: bool = False,
) -> tuple[bytes, Route]:
    """Return the JSON answer to ``body``, and the route that gave it, for a caller who may predict in the tenant.

    It is answered by the same data plane as the fast lane, within its timeouts; what it raises is what a key is told.
    The tenant's limit of predictions a second is for all but operators. ``headers`` have names in lower case.
    """
    key: RouteKey = (tenant.name, model, selector)
    with _counted(key) as answered:
        limiter = None if is_operator else rate_limits().of(tenant)
        if limiter is not None:
            limiter.admit()
        answer, route = current_data_plane().answer_blocking(
            key, body, content_type=content_type, method=method, headers=headers
        )
        answered.append(route)
    return answer, route


@contextmanager
def _counted(key: RouteKey) -> Iterator[list[Route]]:
    """Count the prediction made inside, as the fast lane counts its own; who answered is put into the list."""
    began, status = monotonic(), 200
    answered: list[Route] = []
    try:
        yield answered
    except Exception as error:
        status = status_of(error)
        if status in (429, 503) and isinstance(error, ModelpoolError):
            catalogue.REJECTED.labels(error.code).inc()
        raise
    finally:
        route = None if status == 404 else answered[0] if answered else current_data_plane().routes.find(key)
        METERS.of("django").count(route, status, monotonic() - began)
