"""Who sees what at ``/metrics``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from modelpool.server import metrics
from modelpool.tenants.actors import SYSTEM
from modelpool.tenants.services import create_key, create_tenant


@pytest.fixture
def registry(monkeypatch):
    registry = CollectorRegistry()
    monkeypatch.setattr(metrics, "REGISTRY", registry)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    answers = Counter("answers", "Answers.", ["tenant", "model", "status"], registry=registry)
    for tenant, count in (("acme", 2), ("globex", 3)):
        answers.labels(tenant, "churn", "200").inc(count)
    answers.labels("acme", "churn", "422").inc()
    Histogram("seconds", "Time.", ["tenant"], registry=registry, buckets=(1,)).labels("acme").observe(0.5)
    return registry


def _page(secret: str | None = None) -> str:
    headers = {b"authorization": f"Bearer {secret}".encode()} if secret else {}
    with ThreadPoolExecutor(1) as threads:  # as the server does: it closes its thread's connection
        return threads.submit(metrics.render_metrics, headers).result()[0].decode()


def test_anybody_sees_sums_without_tenants(registry):
    page = _page()
    assert 'answers_total{status="200"} 5.0' in page
    assert 'answers_total{status="422"} 1.0' in page
    assert 'seconds_bucket{le="1.0"} 1.0' in page
    assert not any(name in page for name in ("acme", "globex", "churn"))


@pytest.mark.django_db(transaction=True)
def test_tenants_are_named_to_operators_only(registry):
    tenant = create_tenant("acme-metrics", actor=SYSTEM)
    _, admin = create_key(tenant=tenant, role="admin", actor=SYSTEM)
    _, operator = create_key(tenant=None, role="operator", actor=SYSTEM)
    assert 'tenant="globex"' in _page(operator)
    assert "globex" not in _page(admin)
    assert "globex" not in _page("mp_nonsense")
