"""Trust and quarantine on the wire: shown, filtered by, released by those who may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelpool.registry.models import ModelVersion
from modelpool.registry.quarantine import quarantine_version
from modelpool.tenants.models import AuditEvent
from tests.api.v1.wire import Wire
from tests.api.v1.world import World

pytestmark = pytest.mark.django_db
RELEASE = "/models/churn/versions/2/release"


@pytest.fixture
def quarantined(world: World) -> ModelVersion:
    """Version 2 of ``churn``."""
    version = ModelVersion.objects.for_tenant(world.tenant).get(model__name="churn", number=2)
    quarantine_version(version.pk, tenant_id=world.tenant.pk, reason="repeated faults: it crashed")
    return version


def test_it_stands_in_the_version(quarantined: ModelVersion, viewer: Wire) -> None:
    shown = viewer.get("/models/churn/versions/2").json()
    assert shown["trust"] == "quarantined"
    assert {**shown["quarantine"], "at": ""} == {
        "reason": "repeated faults: it crashed",
        "at": "",
        "cause": "faults",
        "trust": "trained",
    }
    other = viewer.get("/models/churn/versions/1").json()
    assert (other["trust"], other["quarantine"]) == ("trained", None)


@pytest.mark.parametrize(("trust", "numbers"), [("quarantined", [2]), ("trained", [1]), ("uploaded-data", [])])
def test_lists_are_filtered_by_it(quarantined: ModelVersion, viewer: Wire, trust: str, numbers: list[int]) -> None:
    found = viewer.get(f"/models/churn/versions?trust={trust}").json()["results"]
    assert [version["number"] for version in found] == numbers


def test_an_unknown_level_is_named(world: World, viewer: Wire) -> None:
    response = viewer.get("/models/churn/versions?trust=blind")
    assert response.status_code == 422
    assert "trust" in response.json()["errors"][0]["field"]


def test_it_cannot_be_activated(quarantined: ModelVersion, scientist: Wire) -> None:
    response = scientist.post("/models/churn/versions/2/activate", {})
    assert (response.status_code, response.json()["code"]) == (409, "version_quarantined")
    assert "it crashed" in response.json()["detail"]


@pytest.mark.parametrize("role", ["viewer", "predictor", "scientist"])
def test_others_than_admins_do_not_release(quarantined: ModelVersion, wire: Callable[..., Wire], role: str) -> None:
    assert wire(role).post(RELEASE, {}).status_code == 403
    quarantined.refresh_from_db()
    assert quarantined.quarantined_at is not None


def test_an_admin_and_an_operator_do(
    quarantined: ModelVersion, wire: Callable[..., Wire], operator: Wire, world: World
) -> None:
    response = wire("admin").post(RELEASE, {})
    assert (response.status_code, response.json()["trust"], response.json()["quarantine"]) == (200, "trained", None)
    quarantine_version(quarantined.pk, tenant_id=world.tenant.pk, reason="again")
    response = operator.post(f"/api/v1/tenants/acme{RELEASE}", {})
    assert (response.status_code, response.json()["quarantine"]) == (200, None)
    assert AuditEvent.objects.filter(action="version.release", target="churn/2").count() == 2
    assert wire("admin").post(RELEASE, {}).status_code == 200  # it is free: nothing to do


def test_what_is_not_what_was_signed_is_409(quarantined: ModelVersion, wire: Callable[..., Wire]) -> None:
    ModelVersion.unscoped.filter(pk=quarantined.pk).update(sha256="0" * 64)
    response = wire("admin").post(RELEASE, {})
    assert (response.status_code, response.json()["code"]) == (409, "release_refused")
    assert wire("admin").post("/models/churn/versions/99/release", {}).status_code == 404
