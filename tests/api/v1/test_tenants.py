from __future__ import annotations

from typing import Any

import pytest

from modelpool.tenants import audit
from modelpool.tenants.actors import SYSTEM
from modelpool.tenants.models import Tenant
from tests.api.v1.wire import Wire, problem
from tests.api.v1.world import World

pytestmark = pytest.mark.django_db


def test_a_tenants_life(operator: Wire):
    created = operator.post("/tenants", {"name": "globex", "display_name": "Globex Ltd", "max_models": 5})
    assert created.status_code == 201
    assert created["Location"] == "/api/v1/tenants/globex"
    shown = operator.get("/tenants/globex").json()
    assert shown == created.json()
    assert (shown["name"], shown["display_name"], shown["max_models"]) == ("globex", "Globex Ltd", 5)
    assert shown["used_storage_bytes"] == 0
    changed = operator.patch("/tenants/globex", {"max_models": None, "default_policy": "latest"}).json()
    assert (changed["max_models"], changed["default_policy"]) == (None, {"name": "latest"})
    limited = operator.patch("/tenants/globex", {"predictions_per_second": 2.5, "burst": 10}).json()
    assert (limited["predictions_per_second"], limited["burst"]) == (2.5, 10)
    assert [row["name"] for row in operator.get("/tenants").json()["results"]] == ["default", "globex"]
    assert operator.delete("/tenants/globex").status_code == 204
    assert operator.get("/tenants/globex").status_code == 404


def test_a_name_is_taken_once(operator: Wire, tenant: Tenant):
    assert problem(operator.post("/tenants", {"name": "acme"}))["code"] == "name_taken"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "Not A Name"}, "name"),
        ({"name": "x" * 64}, "name"),
        ({"name": "x", "store": "nowhere"}, "store"),
        ({"name": "x", "max_models": -1}, "max_models"),
        ({"name": "x", "dataset_days": 36_501}, "dataset_days"),
        ({"name": "x", "predictions_per_second": 0}, "predictions_per_second"),
        ({"name": "x", "predictions_per_second": 1e9}, "predictions_per_second"),
        ({"name": "x", "burst": 0}, "burst"),
        ({"name": "x", "max_storage_bytes": 2**60}, "max_storage_bytes"),
        ({"name": "x", "display_name": "x" * 201}, "display_name"),
        ({"name": "x", "default_policy": {"name": "luck"}}, "default_policy"),
        ({"name": "x", "default_policy": ""}, "default_policy"),
        ({"name": "x", "is_admin": True}, "is_admin"),
    ],
)
def test_wrong_fields_are_named(operator: Wire, body: dict, field: str):
    response = operator.post("/tenants", body)
    assert response.status_code == 422
    assert problem(response)["errors"][0]["field"] == field
    assert operator.get("/tenants/x").status_code == 404


def test_an_admin_changes_name_and_policy_but_no_quota(admin: Wire):
    changed = admin.patch("", {"display_name": "Acme", "default_policy": {"name": "pinned"}})
    assert (changed.json()["display_name"], changed.json()["default_policy"]) == ("Acme", {"name": "pinned"})
    for field, value in (
        ("max_models", 10**6),
        ("store", "rows"),
        ("is_active", False),
        ("max_storage_bytes", None),
        ("dataset_days", 0),
        ("burst", 9),
    ):
        response = admin.patch("", {"display_name": "Mine", field: value})
        assert response.status_code == 403
        assert field in problem(response)["detail"]
    assert admin.get("").json()["display_name"] == "Acme"


def test_a_tenant_that_owns_things_is_not_deleted(operator: Wire, world: World):
    response = operator.delete("/tenants/acme")
    assert response.status_code == 409
    assert "1 models and 1 datasets" in problem(response)["detail"]


def test_the_default_tenant_stays(operator: Wire):
    assert operator.delete("/tenants/default").status_code == 409


def test_the_audit_trail_names_who_and_what(admin: Wire, scientist: Wire):
    scientist.post("/models", {"name": "churn"}, headers={"X-Request-Id": "abc"})
    event = admin.get("/audit?action=model.create").json()["results"][0]
    assert (event["target"], event["request_id"], event["actor_kind"]) == ("churn", "abc", "key")
    assert admin.get("/audit?since=2999-01-01T00:00:00Z").json()["results"] == []
    assert admin.get("/audit?since=2999-01-01T00:00:00%2B23:00").json()["results"] == []
    assert admin.get("/audit?since=0001-01-01T00:00:00%2B23:00").status_code == 422


def test_the_audit_trail_is_filtered_by_how_it_ended(admin: Wire, scientist: Wire, world: World):
    scientist.post("/models", {"name": "other"})
    assert scientist.post("/keys", {"name": "mine", "role": "admin"}).status_code == 403
    audit.record("version.refuse", actor=SYSTEM, tenant=world.tenant, target="churn/1", outcome="refused")
    found = {outcome: _actions(admin.get(f"/audit?outcome={outcome}")) for outcome in audit.OUTCOMES}
    assert (found["refused"], found["denied"]) == (["version.refuse"], ["access"])
    assert "model.create" in found["done"]
    assert not {"version.refuse", "access"} & set(found["done"])
    assert admin.get("/audit?outcome=lost").status_code == 422


def _actions(response: Any) -> list[str]:
    return [event["action"] for event in response.json()["results"]]


def test_members_come_and_go(admin: Wire, world: World):
    path = f"/members/{world.member.username}"
    assert admin.put(path, {"role": "viewer"}).json()["role"] == "viewer"
    assert [row["role"] for row in admin.get("/members").json()["results"]] == ["viewer"]
    assert admin.put(path, {"role": "operator"}).status_code == 422
    assert admin.delete(path).status_code == 204
    for response in (admin.get(path), admin.delete(path), admin.put("/members/nobody", {"role": "viewer"})):
        assert problem(response)["code"] == "member_not_found"
