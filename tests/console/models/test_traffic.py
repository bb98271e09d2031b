"""The panel of a model's traffic: what it shows, what its buttons do, and for whom."""

from __future__ import annotations

from uuid import UUID

import pytest

from modelpool.core.comparisons import Compared, Figures
from modelpool.monitoring.traffic import add_figures
from modelpool.registry import services
from modelpool.registry.traffic_rules import Share, rule_of
from tests.console.models.addresses import address, send

pytestmark = pytest.mark.django_db


def rule(pool):
    pool.model.refresh_from_db()
    return rule_of(pool.model.traffic)


def set_part(client, pool, part, **data):
    return send(client, "model-traffic-set", pool, part, **data).content.decode()


def test_a_canary_is_set_shown_and_promoted(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    page = set_part(client, pool, "canary", version=2, percent="12.5")
    assert rule(pool).canary == Share(2, 12.5)
    assert "12.5" in page
    assert "87.5" in page
    about = Compared(pool.tenant.pk, pool.model.pk, UUID(rule(pool).id), 2)
    add_figures({about: Figures(requests=4321, latency={3: 4321})})
    assert "4,321" in client.get(address("model", pool)).content.decode()
    send(client, "model-traffic-promote", pool)
    assert rule(pool) is None
    assert pool.model.active_version.number == 2


def test_figures_come_without_the_page_around_them(sign_in, pool, before):
    about = Compared(pool.tenant.pk, pool.model.pk, UUID(before.id), 2)
    add_figures({about: Figures(requests=4321, latency={3: 4321})})
    client = sign_in("viewer", pool.tenant)
    part = client.get(address("model-traffic", pool), headers={"HX-Request": "true"}).content.decode()
    assert "4,321" in part
    assert "<html" not in part
    assert client.get(address("model-traffic", pool)).headers["Location"] == address("model", pool)


def test_a_canary_and_a_shadow_end_each_for_itself(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    set_part(client, pool, "shadow", version=2, percent=50)
    assert (rule(pool).canary, rule(pool).shadow) == (None, Share(2, 50.0))
    assert "is the canary already" in set_part(client, pool, "canary", version=2, percent=5)
    send(client, "model-traffic-end", pool, part="shadow")
    assert rule(pool) is None
    assert "has no traffic rule" in send(client, "model-traffic-end", pool, part="all").content.decode()


def test_a_split_names_everyone_who_answers(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    data = {"version": ["1", "2", ""], "percent": ["70", "30", "0"]}
    assert "v1: 70 %, v2: 30 %" in send(client, "model-traffic-split", pool, **data).content.decode()
    assert rule(pool).split == (Share(1, 70.0), Share(2, 30.0))
    wrong = {"version": ["1", "2"], "percent": ["70", "70"]}
    assert "add up to 140" in send(client, "model-traffic-split", pool, **wrong).content.decode()
    assert rule(pool).split == (Share(1, 70.0), Share(2, 30.0))
    set_part(client, pool, "canary", version=2, percent=5)
    assert (rule(pool).split, rule(pool).canary) == ((), Share(2, 5.0))


def test_nonsense_is_an_error_on_the_page(sign_in, pool):
    client = sign_in("scientist", pool.tenant)
    for data in ({"version": 2, "percent": "nan"}, {"version": "x", "percent": 5}, {"version": 9, "percent": 5}, {}):
        assert send(client, "model-traffic-set", pool, "canary", **data).status_code == 200
        assert send(client, "model-traffic-split", pool, **data).status_code == 200
        assert rule(pool) is None


ACTIONS = [("set", "canary"), ("set", "shadow"), ("split",), ("promote",), ("end",)]


@pytest.fixture
def before(pool, actor):
    services.set_traffic(pool.model, rule=rule_of({"canary": {"version": 2, "percent": 5}}), actor=actor)
    return rule(pool)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_lesser_role_changes_nothing(sign_in, pool, before, action):
    client = sign_in("predictor", pool.tenant)
    name, *more = action
    assert send(client, f"model-traffic-{name}", pool, *more, version=2, percent=50).status_code == 403
    assert rule(pool) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_another_tenant_finds_nothing(sign_in, pool, before, foreign_pool, action):
    client = sign_in("scientist", foreign_pool.tenant)
    name, *more = action
    assert send(client, f"model-traffic-{name}", pool, *more, version=2, percent=50).status_code == 404
    assert rule(pool) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_looking_changes_nothing(sign_in, pool, before, action):
    name, *more = action
    client = sign_in("scientist", pool.tenant)
    assert client.get(address(f"model-traffic-{name}", pool, *more)).status_code == 405
    assert rule(pool) == before
