"""Who sees what at ``/metrics``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelpool import conf
from modelpool.inference.observation.metrics import METERS
from modelpool.server.telemetry import metrics
from modelpool.tenants.actors import SYSTEM
from modelpool.tenants.services import create_key, create_tenant


@dataclass(frozen=True)
class _Route:
    tenant: str
    model: str = "metrics-model"
    number: int = 1


@pytest.fixture(autouse=True)
def counts():
    meter = METERS.of("test")
    for tenant, status in (("acme-counted", 200), ("globex-counted", 200), ("acme-counted", 422)):
        meter.count(_Route(tenant), status, 0.001)


def _page(secret: str | None = None, client: str = "203.0.113.9", **headers: str) -> str:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    sent += [(b"authorization", f"Bearer {secret}".encode())] if secret else []
    scope: dict[str, Any] = {"headers": sent, "client": (client, 1234)}
    with ThreadPoolExecutor(1) as threads:  # as the server does: it closes its thread's connection
        return threads.submit(metrics.render_metrics, scope).result()[0].decode()


@pytest.fixture
def names_are_local(monkeypatch):
    settings = conf.settings()
    server = msgspec.structs.replace(settings.server, metrics_names="local")
    changed = msgspec.structs.replace(settings, server=server)
    monkeypatch.setattr(conf, "settings", lambda: changed)


def test_anybody_sees_sums_without_tenants():
    page = _page(client="127.0.0.1")
    families = {family.name: family for family in text_string_to_metric_families(page)}
    wires = [sample.labels for sample in families["modelpool_predictions"].samples if sample.labels["wire"] == "test"]
    assert {"wire": "test", "status": "200"} in wires
    assert not any(name in page for name in ("acme", "globex", "metrics-model", "version="))


@pytest.mark.django_db(transaction=True)
def test_tenants_are_named_to_operators_only():
    tenant = create_tenant("acme-metrics", actor=SYSTEM)
    _, admin = create_key(tenant=tenant, role="admin", actor=SYSTEM)
    _, operator = create_key(tenant=None, role="operator", actor=SYSTEM)
    assert 'tenant="globex-counted"' in _page(operator)
    assert "globex" not in _page(admin)
    assert "globex" not in _page("mp_nonsense")


def test_programs_of_the_machine_see_names_where_the_settings_say_so(names_are_local):
    assert "globex" in _page(client="127.0.0.1")
    assert "globex" in _page(client="::1")
    assert "globex" not in _page(client="203.0.113.9")
    assert "globex" not in _page(client="127.0.0.1", x_forwarded_for="203.0.113.9")
    assert "globex" not in _page(client="127.0.0.1", via="1.1 proxy")
