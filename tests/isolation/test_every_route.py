"""Every route, every verb, every kind of caller: nothing answers whom it should not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from modelpool.http.checks import METHODS, check_permissions_are_declared, walk_routes
from modelpool.http.idempotent_views import KeepsAnswer
from modelpool.http.views import ApiView
from modelpool.tenants.models import Tenant
from modelpool.tenants.roles import GRANTS, TENANT_ROLES, Permission
from tests.api.v1.wire import Wire, problem
from tests.api.v1.world import World

ROUTES: list[tuple[str, type[ApiView]]] = list(walk_routes())
CASES = [(path, method, needed) for path, view in ROUTES for method, needed in view.permissions.items()]
GUARDED = [case for case in CASES if case[2] is not Permission.PUBLIC]
OF_TENANTS = [case for case in GUARDED if "<str:tenant>" in case[0]]
VERBS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
_IDS = ("dataset", "job", "key", "upload")
_WELL_FORMED: dict[str, Any] = {"upload": {"headers": {"Tus-Resumable": "1.0.0"}}}
"""What a request must have to be looked at."""
_NO_ID = "00000000-0000-0000-0000-000000000000"
_UNKNOWN = {"number": "999999999", "model": "nothing", "alias": "nothing", "user": "nobody"}

pytestmark = pytest.mark.django_db


def address(path: str, world: World | None = None, *, tenant: str | None = None) -> str:
    """Fill a route's path with the things of a tenant, or with names of nothing."""
    arguments = {} if world is None else {name: str(value) for name, value in world.path_arguments.items()}

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name == "tenant" and tenant is not None:
            return tenant
        return arguments.get(name) or _UNKNOWN.get(name) or _NO_ID

    return "/" + re.sub(r"<\w+:(\w+)>", fill, path)


def code_of(response: Any) -> tuple[int, str]:
    """Return status and code of an error, after a look at its shape."""
    return response.status_code, problem(response)["code"]


def test_there_are_routes_and_all_declare_permissions():
    assert len(ROUTES) > 30
    assert len(OF_TENANTS) > 35
    assert check_permissions_are_declared(None) == []


def test_a_route_that_declares_none_is_refused(monkeypatch: pytest.MonkeyPatch):
    path, view = next((path, view) for path, view in ROUTES if "DELETE" in view.permissions)
    monkeypatch.setattr(view, "permissions", {"GET": Permission.VIEW})
    found = check_permissions_are_declared(None)
    assert [message.id for message in found] == ["modelpool.http.E002"]
    assert path in found[0].msg


def test_public_routes_are_few():
    public = {path for path, view in ROUTES if Permission.PUBLIC in view.permissions.values()}
    assert public == {"api/v1/openapi.json", "api/docs"}


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_key_401(verb: str, anonymous: Wire):
    paths = {path for path, _, _ in GUARDED}
    statuses = {path: anonymous(verb, address(path)) for path in paths}
    assert {path: response.status_code for path, response in statuses.items()} == dict.fromkeys(paths, 401)
    assert all(response["WWW-Authenticate"].startswith("Bearer") for response in statuses.values())


def test_a_key_of_the_right_form_that_is_not_ours_401(tenant: Tenant):
    stranger = Wire("mp_" + "a" * 49)
    assert {code_of(stranger(method, address(path, tenant="acme"))) for path, method, _ in GUARDED} == {
        (401, "not_authenticated")
    }


@pytest.mark.parametrize("verb", VERBS)
def test_another_tenants_key_404_as_if_there_were_no_such_tenant(
    verb: str, other_world: World, wire: Callable[..., Wire], tenant: Tenant
):
    mine = wire("admin")
    for path in {path for path, _, _ in OF_TENANTS}:
        there = mine(verb, address(path, other_world))
        nowhere = mine(verb, address(path, other_world, tenant="umbrellx"))
        assert (path, there.status_code, nowhere.status_code) == (path, 404, 404)
        assert sorted(there.headers) == sorted(nowhere.headers)
        if verb != "HEAD":
            assert problem(there)["code"] == problem(nowhere)["code"] == "tenant_not_found"
            assert problem(there)["detail"].replace("umbrella", "umbrellx") == problem(nowhere)["detail"]


def test_another_tenants_things_below_ones_own_tenant_404(
    other_world: World, wire: Callable[..., Wire], tenant: Tenant
):
    mine = wire("admin")
    tried = 0
    for path, method, _ in OF_TENANTS:
        named = next((name for name in _IDS if f":{name}>" in path), None)
        if named is not None:
            tried += 1
            there = code_of(mine(method, address(path, other_world, tenant="acme"), **_WELL_FORMED.get(named, {})))
            missing = code_of(mine(method, address(path, tenant="acme"), **_WELL_FORMED.get(named, {})))
            assert (path, method, there) == (path, method, (404, f"{named}_not_found"))
            assert there == missing
    assert tried >= 11


def test_a_lesser_role_403(tenant: Tenant, make_key: Callable[..., str]):
    clients = {role: Wire(make_key(role)) for role in TENANT_ROLES}
    refused = [
        (role, path, method)
        for path, method, needed in GUARDED
        for role in TENANT_ROLES
        if needed not in GRANTS[role]
        and code_of(clients[role](method, address(path, tenant="acme"))) == (403, "permission_denied")
    ]
    expected = [(role, p, m) for p, m, needed in GUARDED for role in TENANT_ROLES if needed not in GRANTS[role]]
    assert refused == expected
    assert len(expected) > 60


@pytest.mark.parametrize(
    ("path", "method", "needed"), [pytest.param(*case, id=f"{case[1]} /{case[0]}") for case in GUARDED]
)
def test_a_sufficient_role_is_let_in(
    path: str, method: str, needed: Permission, world: World, make_key: Callable[..., str]
):
    role = next(role for role, granted in GRANTS.items() if needed in granted)
    response = Wire(make_key(role))(method, address(path, world))
    if response.streaming:
        response.close()
    assert response.status_code not in (401, 403)
    assert response.status_code < 500
    if response.status_code == 404:
        assert problem(response)["code"] not in ("tenant_not_found", "not_found")


def test_an_undeclared_method_405_with_allow(tenant: Tenant, operator: Wire):
    undeclared = [(path, method) for path, view in ROUTES for method in METHODS if method not in view.permissions]
    assert len(undeclared) > 90
    for path, method in undeclared:
        response = operator(method, address(path, tenant="acme"))
        assert (path, method, *code_of(response)) == (path, method, 405, "method_not_allowed")
        allowed = response["Allow"].split(", ")
        assert method not in allowed
        assert {"GET", "POST"} & set(allowed)


def test_every_post_decides_about_idempotency_keys():
    undecided = [
        path
        for path, view in ROUTES
        if "POST" in view.permissions
        and not (issubclass(view, KeepsAnswer) or getattr(view.post, "handles_idempotency", False))  # type: ignore[attr-defined]
    ]
    assert undecided == []


def test_unknown_paths_are_404_problems(anonymous: Wire, operator: Wire):
    for path in ("/api/v1/nothing", "/api/v2/tenants", "/api/", "/api/v1/tenants/acme/models/m/versions/01"):
        for client in (anonymous, operator):
            assert code_of(client.get(path)) == (404, "not_found")


def test_options_tells_the_methods(scientist: Wire):
    response = scientist("OPTIONS", "/models")
    assert response.status_code == 204
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"
    assert response.content == b""


def test_refusals_of_changes_are_in_the_audit_trail(viewer: Wire, admin: Wire):
    assert viewer.post("/models", {"name": "x"}).status_code == 403
    assert viewer.get("/keys").status_code == 403
    found = admin.get("/audit?outcome=denied").json()["results"]
    assert [(event["target"], event["details"]) for event in found] == [
        ("POST /api/v1/tenants/acme/models", {"needs": "develop"})
    ]
