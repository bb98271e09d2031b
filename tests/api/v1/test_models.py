from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from modelpool.tenants import services as tenants
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from tests.api.v1.wire import Wire, problem
from tests.api.v1.world import World, add_more, add_version

pytestmark = pytest.mark.django_db


def test_a_models_life(scientist: Wire):
    body = {"name": "churn", "description": "Who leaves", "policy": "latest", "store": "rows", "tags": {"team": "crm"}}
    created = scientist.post("/models", body)
    assert created.status_code == 201
    shown = scientist.get("/models/churn").json()
    assert shown == created.json()
    assert {name: shown[name] for name in ("tenant", "policy", "store", "tags", "active_version", "aliases")} == {
        "tenant": "acme",
        "policy": {"name": "latest"},
        "store": "rows",
        "tags": {"team": "crm"},
        "active_version": None,
        "aliases": {},
    }
    changed = scientist.patch("/models/churn", {"tags": {}, "description": ""}).json()
    assert (changed["tags"], changed["description"], changed["store"]) == ({}, "", "rows")
    assert scientist.delete("/models/churn").status_code == 204
    assert problem(scientist.get("/models/churn"))["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Churn!"}, "name"),
        ({"name": "stats"}, "name"),
        ({"name": "m", "tags": {"a": 1}}, "tags"),
        ({"name": "m", "tags": {"": "x"}}, "tags"),
        ({"name": "m", "description": "x" * 30_000}, "description"),
        ({"name": "m", "policy": {"name": "best_metric", "mode": "median"}}, "policy"),
        ({"name": "m", "policy": 5}, "policy"),
        ({"name": "m", "store": "nowhere"}, "store"),
        ({"name": "m", "active_version": 1}, "active_version"),
    ],
)
def test_wrong_fields_are_named(scientist: Wire, body: dict, field: str):
    response = scientist.post("/models", body)
    assert response.status_code == 422
    assert problem(response)["errors"][0]["field"].startswith(field)
    assert scientist.get("/models").json()["results"] == []


def test_the_quota_of_models_is_429(scientist: Wire, tenant: Tenant, actor: Actor):
    tenants.update_tenant(tenant, actor=actor, max_models=1)
    assert scientist.post("/models", {"name": "a"}).status_code == 201
    response = scientist.post("/models", {"name": "b"})
    assert (response.status_code, problem(response)["code"]) == (429, "quota_exceeded")
    assert int(response["Retry-After"]) >= 1


def test_a_model_says_what_is_in_its_pool(viewer: Wire, world: World):
    shown = viewer.get("/models/churn").json()
    assert (shown["active_version"], shown["latest_version"], shown["versions"]) == (1, 2, 2)
    assert shown["aliases"] == {"champion": 2}


def test_versions_have_the_fields_of_the_contract(viewer: Wire, world: World):
    version = viewer.get("/models/churn/versions/2").json()
    contract = {
        "tenant", "model", "number", "state", "active", "aliases", "format", "serving_format", "parity", "signature",
        "metrics", "params", "tags", "size_bytes", "sha256", "store", "job", "dataset", "created_at", "created_by",
    }  # fmt: skip
    assert contract <= version.keys()
    assert (version["number"], version["state"], version["active"], version["aliases"]) == (
        2,
        "ready",
        False,
        ["champion"],
    )
    assert version["signature"]["inputs"][0]["name"] == "x"
    assert "figures" not in version
    assert viewer.get("/models/churn/versions/2?include=figures").json()["figures"] == {}
    assert viewer.get("/models/churn/versions/2?include=secrets").status_code == 422
    assert viewer.get("/models/churn/versions/1").json()["active"] is True


@pytest.mark.parametrize("address", ["/models", "/models/churn/versions", "/jobs", "/datasets", "/keys", "/members"])
def test_the_number_of_queries_does_not_grow_with_the_rows(admin: Wire, world: World, actor: Actor, address: str):
    def count() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as queries:
            rows = admin.get(address).json()["results"]
        return len(queries), len(rows)

    admin.get(address)  # writes down that the key was used
    queries, rows = count()
    for number in range(3):
        add_more(world, number, actor=actor)
    more_queries, more_rows = count()
    assert more_rows >= rows + 3
    assert more_queries == queries


def test_figures_are_not_even_loaded_for_a_list(viewer: Wire, world: World):
    with CaptureQueriesContext(connection) as queries:
        viewer.get("/models/churn/versions")
        viewer.get("/models")
    assert not [query for query in queries if "figures" in query["sql"]]


def test_versions_are_ordered_by_metrics(viewer: Wire, world: World, tenant: Tenant, actor: Actor):
    add_version(tenant, b"3", actor=actor, metrics={"accuracy": 0.15})
    add_version(tenant, b"4", actor=actor, metrics={"loss": 1.0})

    def numbers(query: str) -> list[int]:
        return [row["number"] for row in viewer.get(f"/models/churn/versions?{query}").json()["results"]]

    assert numbers("") == [4, 3, 2, 1]
    assert numbers("ordering=number") == [1, 2, 3, 4]
    assert numbers("ordering=-metrics.accuracy") == [2, 3, 1]
    assert numbers("ordering=metrics.accuracy&page_size=2") == [1, 3]
    following = viewer.get("/models/churn/versions?ordering=metrics.accuracy&page_size=2").json()["next"]
    assert [row["number"] for row in viewer.get(following).json()["results"]] == [2]
    assert numbers("ordering=-metrics.nothing") == []


def test_a_deleted_version_is_gone_and_its_number_stays_taken(
    scientist: Wire, world: World, tenant: Tenant, actor: Actor
):
    assert problem(scientist.delete("/models/churn/versions/1"))["code"] == "version_active"
    assert scientist.delete("/models/churn/versions/2").status_code == 409
    assert scientist.delete("/models/churn/aliases/champion").status_code == 204
    assert scientist.delete("/models/churn/versions/2").status_code == 204
    for response in (scientist.get("/models/churn/versions/2"), scientist.delete("/models/churn/versions/2")):
        assert problem(response)["code"] == "version_not_found"
    assert add_version(tenant, b"3", actor=actor).number == 3
    listed = scientist.get("/models/churn/versions").json()["results"]
    assert [row["number"] for row in listed] == [3, 1]
    deleted = scientist.get("/models/churn/versions?state=deleted").json()["results"]
    assert [(row["number"], row["state"]) for row in deleted] == [(2, "deleted")]


def test_only_tags_and_description_of_a_version_change(scientist: Wire, world: World):
    changed = scientist.patch("/models/churn/versions/2", {"tags": {"a": "b"}, "description": "good"}).json()
    assert (changed["tags"], changed["description"]) == ({"a": "b"}, "good")
    assert problem(scientist.patch("/models/churn/versions/2", {"metrics": {}}))["errors"][0]["field"] == "metrics"


def test_activation_and_roll_back(scientist: Wire, world: World):
    def active() -> int:
        number: int = scientist.get("/models/churn").json()["active_version"]
        return number

    moved = scientist.post("/models/churn/versions/2/activate")
    assert (moved.status_code, moved.json()["active"], active()) == (200, True, 2)
    assert scientist.post("/models/churn/rollback").json()["number"] == active() == 1
    assert problem(scientist.post("/models/churn/rollback"))["code"] == "nothing_to_roll_back_to"
    stale = scientist.post("/models/churn/versions/2/activate", {"expected": 2})
    assert (stale.status_code, problem(stale)["code"]) == (409, "active_version_moved")
    assert scientist.post("/models/churn/versions/2/activate", {"expected": 1}).status_code == 200
    assert scientist.post("/models/churn/activate", {"by": "accuracy", "mode": "min"}).json()["number"] == active() == 1
    assert scientist.post("/models/churn/activate", {"by": "accuracy", "mode": "max"}).json()["number"] == active() == 2
    assert scientist.post("/models/churn/activate", {"by": "luck"}).status_code == 422
    assert scientist.post("/models/churn/activate", {"mode": "mean"}).status_code == 422
    assert problem(scientist.post("/models/churn/versions/9/activate"))["code"] == "version_not_found"


def test_aliases_move(scientist: Wire, world: World):
    assert scientist.put("/models/churn/aliases/champion", {"version": 1}).json() == {"name": "champion", "version": 1}
    assert scientist.get("/models/churn/versions/1").json()["aliases"] == ["champion"]
    assert scientist.get("/models/churn/aliases/champion").json()["version"] == 1
    assert scientist.put("/models/churn/aliases/Bad Name", {"version": 1}).status_code == 422
    assert scientist.put("/models/churn/aliases/x", {"version": 9}).status_code == 404
    assert scientist.put("/models/churn/aliases/x", {"version": 2**40}).status_code == 422
    assert problem(scientist.delete("/models/churn/aliases/x"))["code"] == "alias_not_found"


def test_huge_numbers_in_paths_are_not_found(viewer: Wire, world: World):
    assert viewer.get("/models/churn/versions/" + "9" * 9).status_code == 404
    assert viewer.get("/models/churn/versions/" + "9" * 40).status_code == 404
