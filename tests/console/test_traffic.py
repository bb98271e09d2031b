"""The panel of a model's traffic: what it shows, what its buttons do, and for whom."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.urls import reverse

from modelpool.core.comparisons import Compared, Figures
from modelpool.monitoring.traffic import add_figures
from modelpool.registry import services
from modelpool.registry.traffic_rules import Share, rule_of

pytestmark = pytest.mark.django_db


def do(client, action, row, **data):
    return client.post(reverse(f"admin:registry_registeredmodel_{action}", args=[row.pk]), data, follow=True)


def rule(pool):
    pool.model.refresh_from_db()
    return rule_of(pool.model.traffic)


def test_a_canary_is_set_shown_and_promoted(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    page = do(client, "canary", pool.model, version=2, percent="12.5").content.decode()
    assert rule(pool).canary == Share(2, 12.5)
    assert "12.5" in page
    assert "87.5" in page
    about = Compared(pool.tenant.pk, pool.model.pk, UUID(rule(pool).id), 2)
    add_figures({about: Figures(requests=4321, latency={3: 4321})})
    assert "4321" in client.get(reverse("admin:registry_registeredmodel_change", args=[pool.model.pk])).content.decode()
    do(client, "promote", pool.model)
    assert rule(pool) is None
    assert pool.model.active_version.number == 2


def test_a_canary_and_a_shadow_end_each_for_itself(sign_in, pool, actor):
    client = sign_in("scientist", pool.tenant)
    do(client, "shadow", pool.model, version=2, percent=50)
    assert (rule(pool).canary, rule(pool).shadow) == (None, Share(2, 50.0))
    refused = do(client, "canary", pool.model, version=2, percent=5)
    assert "is the canary already" in refused.content.decode()
    do(client, "end", pool.model, part="shadow")
    assert rule(pool) is None
    assert "has no traffic rule" in do(client, "end", pool.model, part="all").content.decode()


def test_nonsense_is_an_error_on_the_page(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    for data in ({"version": 2, "percent": "nan"}, {"version": "x", "percent": 5}, {"version": 9, "percent": 5}, {}):
        assert do(client, "canary", pool.model, **data).status_code == 200
        assert rule(pool) is None


ACTIONS = ["canary", "shadow", "promote", "end"]


@pytest.fixture
def before(pool, actor):
    services.set_traffic(pool.model, rule=rule_of({"canary": {"version": 2, "percent": 5}}), actor=actor)
    return rule(pool)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_lesser_role_changes_nothing(sign_in, pool, before, action):
    assert do(sign_in("predictor", pool.tenant), action, pool.model, version=2, percent=50).status_code == 403
    assert rule(pool) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_another_tenant_finds_nothing(sign_in, pool, before, foreign_pool, action):
    client = sign_in("scientist", foreign_pool.tenant)
    assert do(client, action, pool.model, version=2, percent=50).status_code == 404
    assert rule(pool) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_looking_changes_nothing(sign_in, pool, before, action):
    client = sign_in("scientist", pool.tenant)
    assert client.get(reverse(f"admin:registry_registeredmodel_{action}", args=[pool.model.pk])).status_code == 405
    assert rule(pool) == before
