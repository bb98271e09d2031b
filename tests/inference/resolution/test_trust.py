"""Someone who can write to the tables or to the store gets nothing parsed in the web process, and nothing served."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modelpool import conf
from modelpool.core.errors import DatabaseUnavailable, ModelpoolError, Quarantined, VersionNotFound
from modelpool.core.manifests import SigningKey
from modelpool.core.runtime.pool import PoolKey
from modelpool.inference.data_plane import DataPlane
from modelpool.inference.loading.quarantining import QuarantineReports, write_quarantine
from modelpool.inference.resolution.lookup import Route, find_route
from modelpool.inference.resolution.trust import read_signed
from modelpool.registry import services as registry
from modelpool.registry import signing
from modelpool.registry.manifests import sign_version
from modelpool.registry.models import ModelVersion
from modelpool.registry.quarantine import quarantine_version, release_version
from modelpool.storage.models import Artifact
from modelpool.storage.services import store_artifact
from modelpool.tenants import services as tenants
from modelpool.tenants.actors import Actor
from modelpool.tenants.models import AuditEvent, Tenant
from tests.waiting import wait_until

UPLOADED = ModelVersion.Trust.UPLOADED_DATA
Versions = dict[str, ModelVersion]
Attack = Callable[[Versions], None]


def write(version: ModelVersion, **columns: Any) -> None:
    """Write to the table as someone does who has the database's password."""
    ModelVersion.unscoped.filter(pk=version.pk).update(**columns)


def path_of(version: ModelVersion) -> Path:
    artifact = ModelVersion.unscoped.select_related("artifact").get(pk=version.pk).artifact
    (path,) = conf.home().resolve("artifacts").rglob(artifact.key.partition("/")[2])
    return path


def overwrite(version: ModelVersion, data: bytes) -> None:
    path = path_of(version)
    path.chmod(0o600)
    path.write_bytes(data)


def audit_of(version: ModelVersion, action: str = "version.quarantine") -> list[AuditEvent]:
    target = f"{version.model.name}/{version.number}"
    return list(AuditEvent.objects.filter(action=action, target=target, tenant_id=version.tenant_id))


@pytest.fixture
def key(transactional_db: None, make_key: Any) -> str:
    secret: str = make_key("predictor")
    return secret


@pytest.fixture
def versions(register: Any, tenant: Tenant, actor: Actor, yes_model: bytes, no_model: bytes) -> Versions:
    """``good`` was trained; ``bad`` is what the attacker uploaded; ``foreign`` is another tenant's, trained."""
    other = tenants.create_tenant("other", actor=actor)
    return {
        "good": register(tenant, "good", yes_model),
        "bad": register(tenant, "bad", no_model, trust=UPLOADED),
        "foreign": register(other, "good", no_model),
    }


def call_it_trained(of: Versions) -> None:
    write(of["bad"], trust="trained")


def call_it_trained_and_lend_it_a_manifest(of: Versions) -> None:
    good = of["good"]
    lent = {"manifest": good.manifest, "manifest_signature": good.manifest_signature}
    write(of["bad"], trust="trained", manifest_key=good.manifest_key, **lent)


def sign_it_with_the_ingest_key(of: Versions) -> None:
    """The attacker is in the web process itself, and has the key that is there."""
    bad, key = of["bad"], signing.ingest_key()
    bad.trust = "trained"
    with pytest.raises(Exception, match="may not sign"):
        sign_version(bad, key=key)
    lying = SigningKey("worker", bytes.fromhex(conf.read_secret(conf.home().resolve("keys/ingest.key"))))
    sign_version(bad, key=lying)
    manifest = bytes(bad.manifest or b"").replace(lying.id.encode(), key.id.encode())
    write(bad, trust="trained", manifest=manifest, manifest_key=key.id, manifest_signature=lying._key.sign(manifest))


def call_it_trained_and_take_its_manifest_away(of: Versions) -> None:
    write(of["bad"], trust="trained", manifest=None, manifest_signature=None, manifest_key="")


def claim_the_name_of_the_trusted_key(of: Versions) -> None:
    """A key of the attacker's own under an id that is trusted."""
    bad, key = of["bad"], SigningKey("worker", bytes(32))
    bad.trust = "trained"
    key.id = signing.worker_key().id
    sign_version(bad, key=key)
    write(bad, trust="trained", manifest=bad.manifest, manifest_signature=bad.manifest_signature, manifest_key=key.id)


TABLE_ATTACKS = [
    call_it_trained,
    call_it_trained_and_lend_it_a_manifest,
    sign_it_with_the_ingest_key,
    call_it_trained_and_take_its_manifest_away,
    claim_the_name_of_the_trusted_key,
]


@pytest.mark.parametrize("attack", TABLE_ATTACKS)
def test_an_upload_never_becomes_trained(
    attack: Attack, versions: Versions, caller: Any, plane: DataPlane, key: str
) -> None:
    attack(versions)
    response = caller.predict("acme/bad", key=key)
    assert (response.status_code, response.json()["code"]) == (503, "quarantined")
    assert "in quarantine: " in response.json()["detail"]
    assert not plane.pool.sizes()
    with pytest.raises(Quarantined):
        find_route(("acme", "bad", None))
    row = ModelVersion.unscoped.get(pk=versions["bad"].pk)
    assert row.quarantined_at is not None
    assert row.quarantine_reason in response.json()["detail"]
    (event,) = audit_of(versions["bad"])
    assert event.details["reason"] == row.quarantine_reason
    assert caller.predict("acme/good", key=key).json()["predictions"] == ["yes"]


def lend_a_file(of: Versions) -> None:
    write(of["good"], artifact_id=of["bad"].artifact_id)


def lend_a_file_and_its_digest(of: Versions) -> None:
    bad = of["bad"].artifact
    assert bad is not None
    write(of["good"], artifact_id=bad.pk, sha256=bad.sha256, size_bytes=bad.size_bytes)


def lend_a_file_of_another_tenant(of: Versions) -> None:
    foreign = of["foreign"].artifact
    assert foreign is not None
    write(of["good"], artifact_id=foreign.pk, sha256=foreign.sha256, size_bytes=foreign.size_bytes)


def swap_the_files_of_two_versions(of: Versions) -> None:
    good, bad = of["good"].artifact, of["bad"].artifact
    assert good is not None
    assert bad is not None
    write(of["good"], artifact_id=bad.pk)
    write(of["bad"], artifact_id=good.pk)


def slip_in_a_compiled_file(of: Versions) -> None:
    write(of["good"], compiled_id=of["bad"].artifact_id, format="sklearn")


def change_the_format(of: Versions) -> None:
    write(of["good"], format="sklearn")


def change_the_serving_format(of: Versions) -> None:
    write(of["good"], serving_format="sklearn")


def change_what_goes_in(of: Versions) -> None:
    signature = {**of["good"].signature, "inputs": list(reversed(of["good"].signature["inputs"]))}
    write(of["good"], signature=signature)


def break_what_goes_in(of: Versions) -> None:
    write(of["good"], signature={"inputs": 3})


def change_its_job(of: Versions) -> None:
    write(of["good"], job_id=of["bad"].pk)


def other_bytes_in_the_store(of: Versions) -> None:
    overwrite(of["good"], path_of(of["bad"]).read_bytes())


def one_bit_in_the_store(of: Versions) -> None:
    data = bytearray(path_of(of["good"]).read_bytes())
    data[len(data) // 2] ^= 1
    overwrite(of["good"], bytes(data))


def other_bytes_with_their_digest_in_every_row(of: Versions) -> None:
    data = path_of(of["bad"]).read_bytes()
    overwrite(of["good"], data)
    facts = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    Artifact.unscoped.filter(pk=of["good"].artifact_id).update(**facts)
    write(of["good"], **facts)


def remove_the_file(of: Versions) -> None:
    path_of(of["good"]).unlink()


ATTACKS = [
    lend_a_file,
    lend_a_file_and_its_digest,
    lend_a_file_of_another_tenant,
    swap_the_files_of_two_versions,
    slip_in_a_compiled_file,
    change_the_format,
    change_the_serving_format,
    change_what_goes_in,
    break_what_goes_in,
    change_its_job,
    other_bytes_in_the_store,
    one_bit_in_the_store,
    other_bytes_with_their_digest_in_every_row,
    remove_the_file,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_exchanged_is_not_served(
    attack: Attack, versions: Versions, caller: Any, plane: DataPlane, key: str, tenant: Tenant
) -> None:
    attack(versions)
    response = caller.predict("acme/good", key=key)
    assert (response.status_code, response.json()["code"]) == (503, "quarantined")
    assert not plane.pool.sizes()
    assert len(audit_of(versions["good"])) == 1
    tenant_rows = ModelVersion.objects.for_tenant(tenant)
    assert tenant_rows.get(pk=versions["good"].pk).quarantined_at is not None
    assert ModelVersion.unscoped.get(pk=versions["foreign"].pk).quarantined_at is None


def test_a_version_deleted_while_its_file_is_read_is_not_found_and_nobodys_attack(
    versions: Versions, tenant: Tenant, actor: Actor
) -> None:
    good = versions["good"]
    route = find_route(("acme", "good", None))
    registry.delete_model(registry.get_model(tenant, "good"), actor=actor)
    with pytest.raises(VersionNotFound):
        read_signed(route)
    assert not audit_of(good)


def test_an_old_manifest_does_not_fit_another_version(
    register: Any, caller: Any, tenant: Tenant, key: str, yes_model: bytes, no_model: bytes
) -> None:
    """The attacker replays all that belonged to version 1, digest and file and all, as version 2."""
    old, new = register(tenant, "m", no_model), register(tenant, "m", yes_model)
    kept = {name: getattr(old, name) for name in ("manifest", "manifest_signature", "manifest_key", "sha256")}
    write(new, artifact_id=old.artifact_id, size_bytes=old.size_bytes, **kept)
    response = caller.predict("acme/m", key=key)
    assert (response.status_code, response.json()["code"]) == (503, "quarantined")
    assert "version_id" in response.json()["detail"]
    assert caller.predict("acme/m/versions/1", key=key).json()["predictions"] == ["no"]


def test_a_key_that_this_node_does_not_know_is_refused_and_harms_nobody_else(
    versions: Versions, caller: Any, plane: DataPlane, key: str
) -> None:
    """It may be an attacker's, or that of another node: the version is not loaded here, and stays as it is."""
    bad, stranger = versions["bad"], SigningKey("worker", bytes([7]) * 32)
    bad.trust = "trained"
    sign_version(bad, key=stranger)
    kept = {name: getattr(bad, name) for name in ("trust", "manifest", "manifest_signature", "manifest_key")}
    write(bad, **kept)
    for _ in range(2):
        response = caller.predict("acme/bad", key=key)
        assert (response.status_code, response.json()["code"]) == (503, "quarantined")
        assert stranger.id in response.json()["detail"]
    assert ModelVersion.unscoped.get(pk=bad.pk).quarantined_at is None
    assert not plane.pool.sizes()
    (event,) = audit_of(bad, "version.refuse")
    assert event.outcome == "refused"


def test_the_web_process_works_without_the_workers_private_key(
    versions: Versions, caller: Any, key: str, tenant: Tenant, actor: Actor, yes_model: bytes
) -> None:
    """Whoever asked for the key would make a new one, so that the file would be there again."""
    private = conf.home().resolve("keys/worker.key")
    aside = private.with_name("aside")
    private.rename(aside)
    try:
        assert caller.predict("acme/good", key=key).json()["predictions"] == ["yes"]
        artifact = store_artifact(tenant, chunks=[yes_model], store="default")
        new = registry.NewVersion(
            format="onnx", serving_format="onnx", trust=UPLOADED, artifact=artifact,
            signature=find_route(("acme", "good", None)).signature,
        )  # fmt: skip
        version = registry.register_version(versions["bad"].model, new=new, actor=actor, activate="always")
        assert caller.predict("acme/bad/versions/2", key=key).status_code == 200
        quarantine_version(version.pk, tenant_id=tenant.pk, reason="a test")
        release_version(version.model, number=2, actor=actor)
        assert not private.exists()
    finally:
        aside.rename(private)


# --- quarantine and what is in memory ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_healthy_copy_in_memory_goes_on_answering(
    versions: Versions, caller: Any, plane: DataPlane, key: str
) -> None:
    assert caller.predict("acme/good", key=key).status_code == 200
    good_bytes = path_of(versions["good"]).read_bytes()
    one_bit_in_the_store(versions)
    second = DataPlane(conf.ServingSettings(preload=()))
    second.start()
    try:
        body = b'{"instances": [[1, 1, 1]]}'
        with pytest.raises(Quarantined):
            second.answer_blocking(("acme", "good", None), body, content_type=b"application/json")

        def has_heard_and_answers() -> bool:
            assert caller.predict("acme/good", key=key).json()["predictions"] == ["yes"]
            return bool(getattr(plane.routes.find(("acme", "good", None)), "quarantine", ""))

        wait_until(has_heard_and_answers)
        overwrite(versions["good"], good_bytes)
        release_version(versions["good"].model, number=1, actor=Actor("system", "", "tests"))
        wait_until(lambda: _predicts(second, body))
    finally:
        second.close()


@pytest.mark.slow
def test_a_version_given_up_for_its_faults_stops_in_every_process_and_comes_back_when_released(
    versions: Versions, caller: Any, plane: DataPlane, key: str, tenant: Tenant, actor: Actor
) -> None:
    assert caller.predict("acme/good", key=key).status_code == 200
    route = find_route(("acme", "good", None))
    plane.loader.give_up(route, "its process crashed")
    wait_until(lambda: caller.predict("acme/good", key=key).json().get("code") == "quarantined")
    wait_until(lambda: route.key not in plane.pool)
    response = caller.predict("acme/good", key=key)
    assert "its process crashed" in response.json()["detail"]
    assert int(response.headers["retry-after"]) >= 1
    assert caller.predict("acme/bad", key=key).status_code == 200
    release_version(versions["good"].model, number=1, actor=actor)
    wait_until(lambda: caller.predict("acme/good", key=key).status_code == 200)


def test_a_report_waits_for_a_database_that_is_down() -> None:
    key = PoolKey(*(Tenant().pk for _ in range(3)))
    route = Route(key, "acme", "m", 1, None, "onnx", False, key.version_id, "files", 1, "")  # type: ignore[arg-type]
    is_up, written = threading.Event(), []

    def attempt(route: Route, reason: str) -> None:
        if not is_up.is_set():
            raise DatabaseUnavailable("down")
        written.append((route.key, reason))

    reports = QuarantineReports(attempt)
    reports.report(route, "crashed")
    reports.report(route, "crashed")
    reports.settle()  # it is not written yet
    with pytest.raises(Quarantined, match="crashed"):
        reports.check(route)
    is_up.set()
    wait_until(lambda: written)
    wait_until(lambda: reports._thread is None)
    with pytest.raises(Quarantined):  # nobody here has heard from the registry yet
        reports.check(route)
    reports.settle({Tenant().pk})
    with pytest.raises(Quarantined):
        reports.check(route)
    reports.settle({key.model_id})
    reports.check(route)
    assert written == [(key, "crashed")]
    reports.close()


def test_many_processes_that_report_the_same_leave_one_row(versions: Versions, tenant: Tenant) -> None:
    route = find_route(("acme", "good", None))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda reason: write_quarantine(route, reason), ["crashed"] * 8))
    assert len(audit_of(versions["good"])) == 1


@pytest.mark.slow
def test_a_model_that_crashed_while_in_quarantine_for_another_reason_begins_anew_when_released(
    versions: Versions, caller: Any, plane: DataPlane, key: str, actor: Actor
) -> None:
    """For wrong bytes in the store the loaded copy goes on; when that fails too often, nothing more is written."""
    bad = versions["bad"]
    assert caller.predict("acme/bad", key=key).status_code == 200
    quarantine_version(bad.pk, tenant_id=bad.tenant_id, cause="integrity", reason="a test")
    wait_until(lambda: getattr(plane.routes.find(("acme", "bad", None)), "quarantine", ""))
    (served,) = (item for item in plane.pool.items() if item.key.version_id == bad.pk)
    while not served.is_given_up:
        served.model.child_failed("crashed")  # type: ignore[attr-defined]
    assert caller.predict("acme/bad", key=key).status_code == 503
    release_version(bad.model, number=1, actor=actor)
    wait_until(lambda: caller.predict("acme/bad", key=key).status_code == 200)


def _predicts(plane: DataPlane, body: bytes) -> bool:
    try:
        return bool(plane.answer_blocking(("acme", "good", None), body, content_type=b"application/json")[0])
    except Quarantined:
        return False


@pytest.mark.slow
def test_a_model_whose_process_dies_ends_in_quarantine_and_its_neighbour_does_not(
    versions: Versions, register: Any, tenant: Tenant, yes_model: bytes, actor: Actor
) -> None:
    neighbour, body = register(tenant, "neighbour", yes_model, trust=UPLOADED), b'{"instances": [[1, 1, 1]]}'
    plane = DataPlane(conf.ServingSettings(preload=(), fault_limit=2))
    plane.start()

    def kill_and_ask(name: str) -> bool:
        """Say whether the version is in quarantine by now."""
        try:
            plane.answer_blocking(("acme", name, None), body, content_type=b"application/json")
            entry = plane.pool.pin(find_route(("acme", name, None)).key)
            assert entry is not None
            pid = entry.item.model.pid  # type: ignore[attr-defined]
            plane.pool.release(entry)
            os.kill(pid, signal.SIGKILL)
        except Quarantined:
            return True
        except ModelpoolError:
            return False
        return False

    try:
        wait_until(lambda: kill_and_ask("bad"), timeout_s=60)
        (event,) = audit_of(versions["bad"])
        assert event.details["cause"] == "faults"
        assert "2 faults" in event.details["reason"]
        assert plane.answer_blocking(("acme", "neighbour", None), body, content_type=b"application/json")[0]
        assert ModelVersion.unscoped.get(pk=neighbour.pk).quarantined_at is None
        release_version(versions["bad"].model, number=1, actor=actor)
        wait_until(lambda: not kill_and_ask("bad"))
    finally:
        plane.close()
