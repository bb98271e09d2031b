"""``/metrics``: the counters of all processes in Prometheus' text form.

Anybody may read the totals; labels that name tenants or models are shown to an operator's key, with
``server.metrics_names = "local"`` also to programs on the same machine, and are summed away for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from django.db import close_old_connections

from modelpool import conf
from modelpool.core.metrics import catalogue
from modelpool.core.metrics.exposition import CONTENT_TYPE, render
from modelpool.core.metrics.merging import collect
from modelpool.inference.asgi import Scope
from modelpool.inference.observation.metrics import METERS, metrics_folder
from modelpool.tenants.authentication import find_principal

PRIVATE_LABELS = frozenset({"tenant", "model", "version", "alias"})
_FORWARDING = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")


def count_request(method: str, *, status: int, seconds: float) -> None:
    """Record one request that went through Django."""
    catalogue.HTTP_REQUESTS.labels(method, f"{status // 100}xx").inc()
    catalogue.HTTP_SECONDS.labels(method).observe(seconds)


def render_metrics(scope: Scope) -> tuple[bytes, str]:
    """Return the page for who asks, and its content type."""
    METERS.flush()
    merged = collect(metrics_folder(), METERS.labels.admitted())
    headers = dict(scope["headers"])
    may_see_names = _is_local(scope, headers) or _is_operator(headers)
    return render(merged, without=frozenset() if may_see_names else PRIVATE_LABELS), CONTENT_TYPE


def _is_local(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Say whether a program of this machine asks, and not a proxy for somebody else, where the settings allow that."""
    client = scope.get("client")
    if conf.settings().server.metrics_names != "local" or not client:
        return False
    try:
        return ip_address(client[0]).is_loopback and not any(name in headers for name in _FORWARDING)
    except ValueError:
        return False


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
