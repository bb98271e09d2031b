"""A tenant's settings: what its administrators decide, and what operators allow it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from modelpool.tenants.models import AuditEvent, Tenant

pytestmark = pytest.mark.django_db


def address(tenant):
    return reverse("console:tenant-settings", args=[tenant.name])


def test_quotas_use_and_stores_are_shown(sign_in, pool):
    Tenant.objects.filter(pk=pool.tenant.pk).update(max_models=1, dataset_days=7, predictions_per_second=0.5, burst=20)
    text = sign_in("admin", pool.tenant).get(address(pool.tenant)).text
    for expected in (
        "1 of 1",
        "nearly used up",
        "for 7 days",
        "0.5 a second on each node, 20 at once",
        "default (20 B)",
    ):
        assert expected in text


def test_a_title_and_a_policy_are_set_and_shown_again(sign_in, tenant):
    client = sign_in("admin", tenant)
    data = {"display_name": "Acme <Inc>", "policy": "best_metric", "metric": "f1_macro", "min_improvement": "0.01"}
    assert client.post(address(tenant), data)["Location"] == address(tenant)
    tenant.refresh_from_db()
    assert tenant.display_name == "Acme <Inc>"
    assert (tenant.default_policy["name"], tenant.default_policy["metric"]) == ("best_metric", "f1_macro")
    assert tenant.default_policy["min_improvement"] == 0.01
    shown = client.get(address(tenant)).text
    assert 'value="f1_macro"' in shown
    assert "Acme &lt;Inc&gt;" in shown
    assert AuditEvent.objects.filter(action="tenant.update", actor_label="ann").count() == 1
    client.post(address(tenant), {"display_name": "", "policy": ""})
    tenant.refresh_from_db()
    assert (tenant.display_name, tenant.default_policy) == ("", {})


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"policy": "newest"}, "newest is not one of the available choices"),
        ({"policy": "best_metric", "min_improvement": "-1"}, "greater than or equal to 0"),
        ({"policy": "best_metric", "mode": "up"}, "up is not one of the available choices"),
        ({"display_name": "x" * 201}, "at most 200 characters"),
    ],
)
def test_what_cannot_be_is_said_on_the_form(sign_in, tenant, data, complaint):
    answer = sign_in("admin", tenant).post(address(tenant), data)
    assert answer.status_code == 422
    assert complaint in answer.text
    tenant.refresh_from_db()
    assert tenant.default_policy == {}


def test_administrators_do_not_change_what_is_the_operators(sign_in, tenant):
    client = sign_in("admin", tenant)
    client.post(address(tenant), {"display_name": "x", "max_models": "9", "store": "rows", "is_active": "false"})
    tenant.refresh_from_db()
    assert (tenant.display_name, tenant.max_models, tenant.store, tenant.is_active) == ("x", None, "default", True)
