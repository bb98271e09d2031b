from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import pytest

from modelpool.registry import services as registry
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import Tenant
from tests.api.v1.wire import Wire, problem

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer(tenant: Tenant, actor: Actor, make_key: Callable[..., str]) -> Wire:
    """Looks at a tenant with the models a to g; all but g have the tag ``stage`` = ``test``."""
    for name in "abcdefg":
        registry.create_model(tenant, name=name, actor=actor, tags={} if name == "g" else {"stage": "test"})
    return Wire(make_key("viewer"), base="/api/v1/tenants/acme")


def names(page: dict) -> str:
    return "".join(row["name"] for row in page["results"])


def follow(viewer: Wire, url: str) -> dict:
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("http", "testserver")
    page: dict = viewer.get(f"{parts.path}?{parts.query}").json()
    return page


@pytest.mark.parametrize("ordering", ["name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pages_forward_and_back_show_every_row_once(viewer: Wire, ordering: str, size: int):
    page = viewer.get(f"/models?ordering={ordering}&page_size={size}").json()
    assert page["previous"] is None
    seen, pages = names(page), [names(page)]
    while page["next"]:
        page = follow(viewer, page["next"])
        pages.append(names(page))
        seen += names(page)
    assert seen == ("gfedcba" if ordering.startswith("-") else "abcdefg")
    back = [names(page)]
    while page["previous"]:
        page = follow(viewer, page["previous"])
        back.append(names(page))
    assert back[::-1] == pages


def test_rows_that_come_and_go_shift_nothing(viewer: Wire, tenant: Tenant, actor: Actor):
    page = viewer.get("/models?page_size=3").json()
    registry.create_model(tenant, name="a2", actor=actor)
    registry.delete_model(registry.get_model(tenant, "c"), actor=actor)
    assert names(follow(viewer, page["next"])) == "def"


def test_filters_stay_in_the_links(viewer: Wire):
    page = viewer.get("/models?page_size=4&tags.stage=test").json()
    assert names(page) == "abcd"
    assert names(follow(viewer, page["next"])) == "ef"
    assert names(viewer.get("/models?prefix=b").json()) == "b"
    assert names(viewer.get("/models?tags.other=test").json()) == ""


@pytest.mark.parametrize(
    "name", ["", '"', 'a"b', "$", "a.b", "0", "-1", "]", "\\", "é", "a' OR 1=1 --", "stage__x", "%"]
)
def test_strange_names_of_tags_and_metrics_find_nothing(viewer: Wire, name: str):
    assert names(viewer.get(f"/models?tags.{quote(name)}=test").json()) == ""
    assert viewer.get(f"/models/a/versions?ordering=metrics.{quote(name)}").json()["results"] == []


@pytest.mark.parametrize("name", ["0", "-1", '"', 'a"b', "$.x", "é", "stage__x", "a b", "\\"])
def test_strange_names_are_found_where_they_are(viewer: Wire, tenant: Tenant, actor: Actor, name: str):
    registry.update_model(registry.get_model(tenant, "b"), actor=actor, tags={name: "5"})
    assert names(viewer.get(f"/models?tags.{quote(name)}=5").json()) == "b"


def test_an_empty_list(viewer: Wire):
    assert viewer.get("/jobs").json() == {"results": [], "next": None, "previous": None}


def forge(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=0", "page_size"),
        ("page_size=501", "page_size"),
        ("page_size=x", "page_size"),
        ("page_size=²", "page_size"),
        ("ordering=secret", "ordering"),
        ("ordering=--name", "ordering"),
        ("ordering=tenant__name", "ordering"),
        ("sort=name", "sort"),
        ("unserved=maybe", "unserved"),
        ("name=a&name=b", "name"),
        ("name=%00", "name"),
        ("cursor=x", "cursor"),
        ("cursor=%F0%9F%98%80", "cursor"),
        ("cursor=" + forge(), "cursor"),
        ("cursor=" + forge("name", 1, "x", 0), "cursor"),
        ("cursor=" + forge("name", "a", "not-a-uuid", 0), "cursor"),
        ("cursor=" + forge("name", 5, "00000000-0000-0000-0000-000000000000", 0), "cursor"),
        ("cursor=" + forge("created_at", "a", "00000000-0000-0000-0000-000000000000", 0), "cursor"),
        ("cursor=" + forge("created_at", {"at": "2020-01-01"}, "00000000-0000-0000-0000-000000000000", 0), "cursor"),
        ("cursor=" + forge("secret", "a", "00000000-0000-0000-0000-000000000000", 0), "ordering"),
        ("cursor=" + forge("name", "a", "00000000-0000-0000-0000-000000000000", 0) + "&ordering=-name", "cursor"),
        ("cursor=" + forge("name", "a\x00", "00000000-0000-0000-0000-000000000000", 0), "cursor"),
        ("cursor=" + forge("name", float("nan"), "00000000-0000-0000-0000-000000000000", 0), "cursor"),
        ("cursor=" + forge(["name"], "a", "00000000-0000-0000-0000-000000000000", 0), "cursor"),
        ("cursor=" + forge("created_at", {"x": 1}, "00000000-0000-0000-0000-000000000000", 0), "cursor"),
        ("cursor=" + forge("created_at", {"at": None}, "00000000-0000-0000-0000-000000000000", 0), "cursor"),
        ("cursor=" + forge("name", "\ud800", "00000000-0000-0000-0000-000000000000", 0), "cursor"),
        ("prefix=" + "x" * 9000, "prefix"),
    ],
)
def test_wrong_parameters_are_named(viewer: Wire, query: str, field: str):
    response = viewer.get(f"/models?{query}")
    assert response.status_code == 422
    assert problem(response)["errors"][0]["field"] == field


def test_a_page_costs_a_fixed_number_of_queries(viewer: Wire, django_assert_max_num_queries: Callable):
    viewer.get("/models")  # the first use of a key is written down
    with django_assert_max_num_queries(6):
        assert len(viewer.get("/models?page_size=2").json()["results"]) == 2
    with django_assert_max_num_queries(6):
        assert len(viewer.get("/models").json()["results"]) == 7
