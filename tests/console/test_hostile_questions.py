"""Addresses that nobody got from a page: forged cursors and endless searches are refused, and never a fault of ours."""

from __future__ import annotations

import base64
import json

import pytest
from django.urls import reverse

pytestmark = pytest.mark.django_db

NOBODY = "00000000-0000-0000-0000-000000000000"
ENDLESS = "x" * 60_000
LISTS = ("jobs", "datasets", "members", "keys", "audit")
OPERATORS_LISTS = ("operate-tenants", "operate-people", "operate-jobs", "operate-keys", "operate-audit", "tenants")


def forged(*parts):
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.fixture
def lists(sign_in, pool):
    """Every list in pages, with somebody who may look at it."""
    ada, olga = sign_in("admin", pool.tenant), sign_in("operator", name="olga")
    found = [(ada, reverse(f"console:{name}", args=[pool.tenant.name])) for name in LISTS]
    return found + [(olga, reverse(f"console:{name}")) for name in OPERATORS_LISTS]


@pytest.mark.parametrize("position", [{"x": 1}, {"at": None}, {"at": 5}, "\ud800", "\0", [1], None, True])
def test_a_cursor_that_no_list_gave_is_refused(lists, position):
    orders = ("-created", "name", "-id", "since")
    for client, address in lists:
        for order in orders:
            response = client.get(address, {"cursor": forged(order, position, NOBODY, 0), "ordering": order})
            assert response.status_code == 400, (address, order)


def test_an_endless_search_is_refused(lists):
    for client, address in lists:
        for name in ("q", "actor", "target", "model"):
            assert client.get(address, {name: ENDLESS}).status_code == 400, (address, name)


def test_an_endless_search_for_data_to_train_with_finds_nothing(sign_in, pool):
    address = reverse("console:train", args=[pool.tenant.name])
    assert sign_in("scientist", pool.tenant).get(address, {"q": ENDLESS}).status_code == 200


def test_an_export_that_cannot_be_made_is_an_error_and_no_broken_file(sign_in, pool):
    address = reverse("console:audit-export", args=[pool.tenant.name, "csv"])
    response = sign_in("admin", pool.tenant).get(address, {"target": ENDLESS})
    assert response.status_code == 400
    assert "longer" in response.text


@pytest.mark.parametrize("name", ["a\0b", "\0", "A", "x" * 100, "", "umbrella"])
def test_a_tenant_that_cannot_be_is_none_to_copy_to(sign_in, pool, other_tenant, name):
    address = reverse("console:model-copy", args=[pool.tenant.name, pool.model.name])
    answer = sign_in("scientist", pool.tenant).post(address, {"number": "1", "tenant": name}, follow=True)
    assert answer.status_code == 200
    assert "is not another tenant in which you may develop" in answer.text


def test_there_is_no_search_among_tables(sign_in, pool):
    for question in ({"s": "a"}, {"s": "a", "page": "x"}, {"s": "a", "page": "-1", "extended": "1"}):
        assert (
            sign_in("viewer", pool.tenant, name=f"v{len(question)}").get("/console/admin/search/", question).status_code
            == 404
        )
