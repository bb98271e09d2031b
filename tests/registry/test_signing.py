"""Keys: made once, kept private, rotated without a moment in which something is not trusted; older versions signed."""

from __future__ import annotations

import os
import signal
import stat
import threading
import warnings
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models import Q

from modelpool import conf
from modelpool.core.errors import ConfigurationError
from modelpool.core.manifests import SigningKey, UntrustedManifest
from modelpool.registry import signing
from modelpool.registry.manifests import verify_version
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.quarantine import quarantine_version
from modelpool.registry.resigning import adopt_versions, count_by_key, prepare_signing, resign_versions
from modelpool.registry.services import get_version
from modelpool.tenants.actors import SYSTEM
from modelpool.tenants.models import AuditEvent, Change

Register = Callable[..., ModelVersion]
UNSIGNED = {"manifest": None, "manifest_signature": None, "manifest_key": ""}


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("signing_keys", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def forget_manifests() -> None:
    """Make all versions as they were before there were manifests."""
    ModelVersion.unscoped.update(**UNSIGNED)


def is_trusted(model: RegisteredModel, number: int) -> bool:
    try:
        return bool(verify_version(get_version(model, number)))
    except UntrustedManifest:
        return False


# --- keys -------------------------------------------------------------------------------------------------------------


def test_private_keys_are_private_and_stay(home: Path) -> None:
    first = signing.worker_key()
    for name in ("worker.key", "ingest.key"):
        signing.prepare_keys()
        assert stat.S_IMODE((home / "keys" / name).stat().st_mode) == 0o600
    assert signing.worker_key().id == first.id
    assert set(signing.trusted_keys()) == {first.id, signing.ingest_key().id}


def test_starts_at_once_make_one_key(home: Path) -> None:
    barrier, found = threading.Barrier(8), []

    def start() -> None:
        barrier.wait(10)
        found.append((signing.worker_key().id, signing.ingest_key().id))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert set(signing.trusted_keys()) == set(found[0])
    assert not list((home / "keys").glob(".*"))


def test_a_key_that_others_may_read_is_refused(home: Path) -> None:
    signing.worker_key()
    (home / "keys/worker.key").chmod(0o644)
    os.utime(home / "keys/worker.key", (1, 1))
    with pytest.raises(ConfigurationError, match=r"chmod 600 .*worker\.key"):
        signing.worker_key()


def test_a_broken_key_is_named(home: Path) -> None:
    (home / "keys").mkdir()
    (home / "keys/ingest.key").write_text("short")
    (home / "keys/ingest.key").chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"ingest\.key does not hold a key"):
        signing.ingest_key()


def test_a_node_without_a_worker_key_makes_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = SigningKey("worker", bytes(32))
    monkeypatch.setenv("MODELPOOL_SIGNING_WORKER_KEY_FILE", "")
    monkeypatch.setenv("MODELPOOL_SIGNING_TRUSTED_KEYS", str(stranger.verifying))
    conf.settings.cache_clear()
    signing.prepare_keys()
    assert not (home / "keys/worker.key").exists()
    assert stranger.id in signing.trusted_keys()
    with pytest.raises(ConfigurationError, match=r"signing\.worker_key_file is empty"):
        signing.worker_key()


def test_a_wrong_public_key_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPOOL_SIGNING_TRUSTED_KEYS", "worker:abc")
    conf.settings.cache_clear()
    with pytest.raises(ConfigurationError, match=r"signing\.trusted_keys: a public key is 64"):
        signing.trusted_keys()


# --- rotation ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_after_a_rotation_old_and_new_are_trusted(model: RegisteredModel, register: Register) -> None:
    register(model)
    old = signing.worker_key().id
    assert "signs from now on" in command("rotate", "worker")
    register(model)
    assert [get_version(model, number).manifest_key == old for number in (1, 2)] == [True, False]
    assert is_trusted(model, 1)
    assert is_trusted(model, 2)
    with pytest.raises(CommandError, match="has signed 1 versions"):
        command("distrust", old)
    with pytest.raises(CommandError, match="is in use"):
        command("distrust", signing.worker_key().id)
    assert "signed 1 versions" in command("resign")
    command("distrust", old)
    assert old not in signing.trusted_keys()
    assert is_trusted(model, 1)
    assert f"{signing.worker_key().id}  in use   2 versions" in command("list")
    done = set(AuditEvent.objects.filter(tenant_id=None).values_list("action", flat=True))
    assert {"signing.rotate", "signing.resign", "signing.distrust"} <= done


@pytest.mark.django_db
def test_what_a_withdrawn_key_signed_is_not_trusted(model: RegisteredModel, register: Register) -> None:
    register(model)
    old = signing.worker_key().id
    command("rotate", "worker")
    told = Change.objects.filter(kind=Change.Kind.MODEL, ref=str(model.pk))
    before = told.count()
    command("distrust", old, "--force")
    assert told.count() == before + 1  # processes that have it in memory look again
    with pytest.raises(UntrustedManifest) as caught:
        verify_version(get_version(model, 1))
    assert caught.value.fault == "unknown_key"
    with pytest.raises(CommandError, match="not in signing"):
        command("distrust", old)


@pytest.mark.django_db
def test_signing_anew_believes_nothing(model: RegisteredModel, register: Register) -> None:
    register(model, trust="uploaded-data")
    register(model)
    for scope in ("worker", "ingest"):
        command("rotate", scope)
    ModelVersion.objects.for_tenant(model.tenant_id).filter(number=1).update(trust="trained")
    report = resign_versions(actor=SYSTEM)
    assert (report.signed, len(report.refused)) == (1, 1)
    assert report.refused[0].startswith("acme/churn/1: its trust is not what was signed")


# --- versions from before ---------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_first_start_signs_what_was_there_and_no_later_one(model: RegisteredModel, register: Register) -> None:
    register(model)
    register(model, trust="uploaded-data")
    forget_manifests()
    assert not is_trusted(model, 1)
    assert prepare_signing().signed == 2
    assert is_trusted(model, 1)
    assert is_trusted(model, 2)
    assert AuditEvent.objects.get(action="signing.adopt").details == {"versions": 2}
    forget_manifests()  # somebody who can write to the table wants to be believed again
    assert prepare_signing().signed == 0
    assert not is_trusted(model, 1)


@pytest.mark.django_db
def test_a_new_node_signs_nothing_that_others_left_unsigned(
    home: Path, model: RegisteredModel, register: Register
) -> None:
    register(model)
    register(model)
    ModelVersion.objects.for_tenant(model.tenant_id).filter(number=2).update(**UNSIGNED)
    (home / "keys").rename(home / "of another node")
    assert prepare_signing().signed == 0
    assert not is_trusted(model, 2)


@pytest.mark.django_db
def test_an_operator_lets_unsigned_versions_in(model: RegisteredModel, register: Register) -> None:
    """As those of an older node that still trains while others are upgraded."""
    version = register(model)
    prepare_signing()
    forget_manifests()
    quarantine_version(version.pk, tenant_id=model.tenant_id, cause="unsigned", reason="nobody has signed it")
    assert "without a manifest  1 versions" in command("list")
    assert "signed 1 versions" in command("adopt")
    assert is_trusted(model, 1)
    assert get_version(model, 1).quarantined_at is None


@pytest.mark.django_db
def test_lost_keys_can_be_replaced(home: Path, model: RegisteredModel, register: Register) -> None:
    register(model)
    (home / "keys").rename(home / "lost")
    assert "not trusted  1 versions" in command("list")
    assert "signed 0 versions" in command("adopt")
    assert "signed 1 versions" in command("adopt", "--lost-keys")
    assert is_trusted(model, 1)


@pytest.mark.django_db
def test_what_cannot_be_signed_is_named(model: RegisteredModel, register: Register) -> None:
    register(model)
    ModelVersion.objects.for_tenant(model.tenant_id).update(trust="quarantined", **UNSIGNED)
    with pytest.raises(CommandError, match="1 versions are not signed"):
        command("adopt")
    assert count_by_key() == {"": 1}


@pytest.mark.slow
def test_signing_goes_on_where_it_was_killed(
    transactional_db: None, model: RegisteredModel, register: Register
) -> None:
    first = register(model)
    row = ModelVersion.unscoped.get(pk=first.pk)
    rows = []
    for number in range(2, 451):
        row.pk, row.number, row.job_id = None, number, None
        rows.append(ModelVersion(**{f.attname: getattr(row, f.attname) for f in row._meta.fields if f.name != "id"}))
    ModelVersion.unscoped.bulk_create(rows)
    forget_manifests()
    connections.close_all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        prepare_signing(lambda signed: os.kill(os.getpid(), signal.SIGKILL))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    assert count_by_key()[""] == 250
    seen: list[int] = []
    assert prepare_signing(seen.append).signed == 250
    assert seen == [200]
    assert count_by_key() == {signing.worker_key().id: 450}
    assert adopt_versions(Q(manifest__isnull=True), actor=SYSTEM).signed == 0
