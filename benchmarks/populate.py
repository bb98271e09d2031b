"""Rows of a large installation, in a home of its own: ``python benchmarks/populate.py [--tenants N] [--versions 10]``.

Each tenant has a key, a model with so many versions (the last one active), a job, and an audit trail; the first tenant
is large: as many models, jobs and versions of one model as a page of lists may ever meet. The rows are what the
services write, without the files: nothing that is made here can predict. Needs an empty database with its tables;
writes in bulk, on SQLite and PostgreSQL alike. Prints what ``bench_lists.py`` needs, as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from typing import Any

import django
from django.db import connection, models, transaction

LARGE = "tenant-00000"
_LARGE_MODELS, _LARGE_VERSIONS, _LARGE_JOBS = 1000, 1000, 2000
_KEYS_SHOWN = 200
_AT_ONCE = 2000


def main() -> None:
    """Write the rows, and let the database count them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=10)
    options = parser.parse_args()
    django.setup()
    with transaction.atomic():
        facts = populate(options.tenants, options.versions)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print(json.dumps(facts))


def populate(tenants: int, versions: int) -> dict[str, Any]:
    """Write everything for so many tenants; return secrets and the number of rows."""
    from django.conf import settings
    from django.test import Client

    from modelpool.tenants.actors import SYSTEM
    from modelpool.tenants.models import Tenant, User
    from modelpool.tenants.services import create_key
    from modelpool.training.models import TrainingJob

    made = _save([Tenant(name=f"tenant-{number:05d}") for number in range(tenants)])
    pools = _save(_models(made))
    _save_versions(pools, versions)
    jobs = [TrainingJob(tenant=pool.tenant, model=pool, **_job(at)) for at, pool in enumerate(pools)]
    jobs += [TrainingJob(tenant=made[0], model=pools[0], **_job(at)) for at in range(_LARGE_JOBS - _LARGE_MODELS)]
    _save(jobs)
    secrets = _save_keys(made)
    _, operator = create_key(tenant=None, role="operator", actor=SYSTEM)
    browser = Client()
    browser.force_login(User.objects.create_superuser("operator"))
    session = browser.cookies[settings.SESSION_COOKIE_NAME].value
    cookie = f"{settings.SESSION_COOKIE_NAME}={session}"
    return {"operator": operator, "cookie": cookie, "keys": secrets, "rows": _counts()}


def _models(tenants: list[Any]) -> Iterator[Any]:
    from modelpool.registry.models import RegisteredModel

    for tenant in tenants:
        yield RegisteredModel(tenant=tenant, name="churn", tags={"team": "north"})
    for number in range(1, _LARGE_MODELS):
        tags = {"team": "south" if number % 2 else "north"}
        yield RegisteredModel(tenant=tenants[0], name=f"model-{number:04d}", tags=tags)


def _save_versions(pools: list[Any], count: int) -> None:
    from modelpool.registry.models import Activation, ModelVersion, RegisteredModel

    for begin in range(0, len(pools), _AT_ONCE // 4):
        some = pools[begin : begin + _AT_ONCE // 4]
        versions = [version for pool in some for version in _versions(pool, _number_of(pool, pools[0], count))]
        _save([version.artifact for version in versions])
        _save(versions)
        last = {version.model_id: version for version in versions}
        for pool in some:
            pool.active_version, pool.last_number = last[pool.pk], last[pool.pk].number
        RegisteredModel.unscoped.bulk_update(some, ["active_version", "last_number"], batch_size=200)
        _save([_activation(Activation, last[pool.pk]) for pool in some])
    assert not ModelVersion.unscoped.filter(model__active_version=None).exists()


def _number_of(pool: Any, largest: Any, count: int) -> int:
    return _LARGE_VERSIONS if pool is largest else count


def _activation(kind: Any, version: Any) -> Any:
    return kind(tenant=version.tenant, model=version.model, sequence=1, number=version.number, reason="requested")


def _versions(pool: Any, count: int) -> Iterator[Any]:
    from modelpool.registry.manifests import sign_version
    from modelpool.registry.models import ModelVersion
    from modelpool.registry.signing import ingest_key
    from modelpool.storage.models import Artifact

    key = ingest_key()
    for number in range(1, count + 1):
        digest = f"{random.getrandbits(256):064x}"
        artifact = Artifact(tenant=pool.tenant, store="default", state="ready", size_bytes=5000, sha256=digest)
        accuracy = round(random.uniform(0.5, 1), 6)
        version = ModelVersion(
            tenant=pool.tenant,
            model=pool,
            number=number,
            artifact=artifact,
            sha256=digest,
            format="onnx",
            serving_format="onnx",
            size_bytes=5000,
            signature=_SIGNATURE,
            metrics={"accuracy": accuracy, "f1_macro": accuracy - 0.1},
            primary_metric="accuracy",
        )
        sign_version(version, key=key)
        yield version


def _job(at: int) -> dict[str, Any]:
    state = ("succeeded", "failed", "cancelled")[at % 3]
    return {"trainer": "tabular_classifier", "state": state, "timeout_s": 60.0, "memory_limit_bytes": 2**30}


def _save_keys(tenants: list[Any]) -> dict[str, str]:
    from modelpool.tenants.keys import PREFIX_CHARS, digest_of, make_secret
    from modelpool.tenants.models import APIKey, AuditEvent

    secrets = {tenant.name: make_secret() for tenant in tenants}
    _save(
        APIKey(tenant=tenant, role="admin", prefix=secret[:PREFIX_CHARS], digest=digest_of(secret))
        for tenant, secret in zip(tenants, secrets.values(), strict=True)
    )
    for number in range(10):
        _save(
            AuditEvent(tenant_id=tenant.pk, tenant_name=tenant.name, actor_kind="system", action="version.register",
                       target=f"churn/{number + 1}")
            for tenant in tenants
        )  # fmt: skip
    shown = dict(random.sample(sorted(secrets.items()), min(_KEYS_SHOWN, len(secrets))))
    return {**shown, LARGE: secrets[LARGE]}


def _save(rows: Any) -> list[Any]:
    """Insert in portions; return the rows."""
    rows = list(rows)
    if rows:
        manager: models.Manager[Any] = getattr(type(rows[0]), "unscoped", type(rows[0])._default_manager)
        manager.bulk_create(rows, batch_size=_AT_ONCE)
    return rows


def _counts() -> dict[str, int]:
    from django.apps import apps

    counts = {model._meta.db_table: model._base_manager.count() for model in apps.get_models()}
    return {table.removeprefix("modelpool_"): count for table, count in counts.items() if count >= _LARGE_MODELS}


_SIGNATURE = {
    "inputs": [{"name": f"column_{at}", "dtype": "float64", "shape": [-1], "nullable": False} for at in range(30)],
    "outputs": [{"name": "label", "dtype": "string", "shape": [-1], "nullable": False}],
    "classes": ["no", "yes"],
    "example": None,
}


if __name__ == "__main__":
    main()
