from __future__ import annotations

import pytest

from tests.api.v1.wire import Wire, problem

pytestmark = pytest.mark.django_db


def test_a_keys_life(admin: Wire):
    created = admin.post("/keys", {"role": "predictor", "name": "app", "expires_in_days": 30})
    assert created.status_code == 201
    key = created.json()
    assert key["key"].startswith(key["prefix"])
    assert created["Location"] == f"/api/v1/tenants/acme/keys/{key['id']}"
    shown = admin.get(f"/keys/{key['id']}").json()
    assert shown == {name: value for name, value in key.items() if name != "key"}
    mine = Wire(key["key"])
    assert mine.get("/me").json()["role"] == "predictor"
    assert admin.delete(f"/keys/{key['id']}").status_code == 204
    assert admin.delete(f"/keys/{key['id']}").status_code == 204
    assert mine.get("/me").status_code == 401
    assert admin.get(f"/keys/{key['id']}").json()["revoked_at"]


def test_lists_hold_no_secrets(admin: Wire):
    secret = admin.post("/keys", {"role": "viewer"}).json()["key"]
    listed = admin.get("/keys")
    assert secret not in listed.content.decode()
    assert "digest" not in listed.content.decode()
    assert [row["role"] for row in admin.get("/keys?role=viewer&active=true").json()["results"]] == ["viewer"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "role"),
        ({"role": "operator"}, "role"),
        ({"role": "viewer", "expires_in_days": 0}, "expires_in_days"),
        ({"role": "viewer", "expires_in_days": 1e9}, "expires_in_days"),
        ({"role": "viewer", "name": "x" * 201}, "name"),
        ({"role": "viewer", "tenant": "umbrella"}, "tenant"),
    ],
)
def test_wrong_fields_are_named(admin: Wire, body: dict, field: str):
    response = admin.post("/keys", body)
    assert response.status_code == 422
    assert problem(response)["errors"][0]["field"] == field


def test_operators_keys_are_the_operators_affair(operator: Wire, admin: Wire):
    created = operator.post("/keys", {"name": "second"}).json()
    assert (created["role"], created["tenant"]) == ("operator", None)
    assert Wire(created["key"]).get("/me").json()["is_operator"] is True
    assert admin.get(f"/keys/{created['id']}").status_code == 404
    assert admin("DELETE", f"/api/v1/keys/{created['id']}").status_code == 403
    assert operator.get(f"/keys/{created['id']}").status_code == 200
    assert operator.delete(f"/keys/{created['id']}").status_code == 204
    tenants_key = admin.post("/keys", {"role": "viewer"}).json()["id"]
    assert operator.get(f"/keys/{tenants_key}").status_code == 404
