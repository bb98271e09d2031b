"""Signing versions after the fact: those from before there were manifests, and those of a key that is to go.

Every version is signed by one UPDATE that names what it replaces, so that both can be interrupted anywhere, run again,
and run by several processes at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.db import transaction
from django.db.models import Count, Q

from modelpool import conf
from modelpool.core.manifests import LEVELS, SigningKey, UntrustedManifest
from modelpool.registry.feed import announce
from modelpool.registry.manifests import MANIFEST_FIELDS, sign_version, verify_version
from modelpool.registry.models import ModelVersion, RegisteredModel
from modelpool.registry.quarantine import forgive_unsigned
from modelpool.registry.signing import ingest_key, prepare_keys, trusted_keys, worker_key
from modelpool.tenants import audit
from modelpool.tenants.actors import SYSTEM, Actor

logger = logging.getLogger(__name__)

Progress = Callable[[int], None]
_AT_ONCE = 200


@dataclass(slots=True)
class SigningReport:
    """How many versions were signed, and why others could not be."""

    signed: int = 0
    refused: list[str] = field(default_factory=list)


def prepare_signing(progress: Progress = lambda _: None) -> SigningReport:
    """Make the keys, and on the first start with them sign what was registered before: once, then never again.

    That it was done is a file beside the keys and not a row, so that nobody who can write to the tables gets another
    chance. Where another node has begun to sign, this one is new, and signs nothing that it did not make.
    """
    prepare_keys()
    report = SigningReport()
    done = _marker()
    if done is None or done.exists():
        return report
    if _signed_elsewhere():
        logger.warning("other nodes sign versions with keys of their own; give this one their keys")
    else:
        report = adopt_versions(Q(manifest__isnull=True), actor=SYSTEM, progress=progress)
    conf.write_once(done, "Versions without a manifest were signed; this is never done again by itself.\n")
    return report


def adopt_versions(which: Q, *, actor: Actor, progress: Progress = lambda _: None) -> SigningReport:
    """Sign versions as their rows say they are, whatever was or was not signed before: believe them, as they are now.

    Those that were in quarantine for want of a manifest are let out. An audit row comes first, where there are any.
    """

    def adopt(version: ModelVersion, key: SigningKey) -> None:
        sign_version(version, key=key)

    _announce_signing("signing.adopt", which, actor=actor)
    return _sign_all(which, adopt, progress=progress)


def resign_versions(*, actor: Actor, progress: Progress = lambda _: None) -> SigningReport:
    """Sign anew, with the keys in use, every version that an older key that is still trusted has signed."""

    def resign(version: ModelVersion, key: SigningKey) -> None:
        verify_version(version)
        sign_version(version, key=key)

    older = Q(manifest__isnull=False) & ~Q(manifest_key__in=[worker_key().id, ingest_key().id])
    _announce_signing("signing.resign", older, actor=actor)
    return _sign_all(older, resign, progress=progress)


def untrusted() -> Q:
    """Return which versions name a key that this node does not trust: those of keys that were lost."""
    return Q(manifest__isnull=False) & ~Q(manifest_key__in=list(trusted_keys()))


def count_by_key() -> Mapping[str, int]:
    """Return how many versions each key has signed; those without a manifest stand under the empty name."""
    rows = ModelVersion.unscoped.exclude(state=ModelVersion.State.DELETED).values_list("manifest_key")
    return dict(rows.annotate(n=Count("pk")).order_by("manifest_key"))


def announce_models_of(key_id: str) -> None:
    """Have every process look again at the models with versions of a key, also at those that it has in memory."""
    versions = ModelVersion.unscoped.filter(manifest_key=key_id).exclude(state=ModelVersion.State.DELETED)
    models = RegisteredModel.unscoped.filter(pk__in=versions.values("model_id"))
    for model in list(models):
        with transaction.atomic():
            announce(model)


def _announce_signing(action: str, which: Q, *, actor: Actor) -> None:
    n_versions = ModelVersion.unscoped.filter(which).exclude(state=ModelVersion.State.DELETED).count()
    if n_versions:
        audit.record(action, actor=actor, tenant=None, target="versions", details={"versions": n_versions})


def _sign_all(which: Q, sign: Callable[[ModelVersion, SigningKey], None], *, progress: Progress) -> SigningReport:
    keys = {level: worker_key() if level in LEVELS["worker"] else ingest_key() for level in _levels()}
    report = SigningReport()
    for version in _versions(which):
        before = version.manifest_key
        try:
            key = keys.get(version.trust)
            if key is None:
                raise UntrustedManifest(f"no key may sign it as {version.trust!r}")
            sign(version, key)
        except UntrustedManifest as error:
            report.refused.append(f"{version.tenant.name}/{version.model.name}/{version.number}: {error}")
            continue
        report.signed += _save(version, before=before)
        if report.signed % _AT_ONCE == 0:
            progress(report.signed)
    return report


def _levels() -> Iterator[str]:
    for levels in LEVELS.values():
        yield from levels


def _versions(which: Q) -> Iterator[ModelVersion]:
    """Go through them by id, a page at a time: none twice, however many are signed meanwhile."""
    rows = ModelVersion.unscoped.filter(which).exclude(state=ModelVersion.State.DELETED).order_by("pk")
    rows = rows.select_related("artifact", "compiled", "tenant", "model").defer("figures")
    page = list(rows[:_AT_ONCE])
    while page:
        yield from page
        page = list(rows.filter(pk__gt=page[-1].pk)[:_AT_ONCE])


def _save(version: ModelVersion, *, before: str) -> int:
    row = ModelVersion.objects.for_tenant(version.tenant_id).filter(pk=version.pk, manifest_key=before)
    changed: int = row.update(**{name: getattr(version, name) for name in MANIFEST_FIELDS})
    if changed and version.quarantine_code == "unsigned":
        forgive_unsigned(version)
    return changed


def _signed_elsewhere() -> bool:
    mine = [worker_key().id, ingest_key().id]
    return bool(ModelVersion.unscoped.filter(manifest__isnull=False).exclude(manifest_key__in=mine).exists())


def _marker() -> Path | None:
    """Return the file that says that older versions are signed; ``None`` on a node that signs nothing trained."""
    name = conf.settings().signing.worker_key_file
    if not name:
        return None
    path = conf.home().resolve(name)
    return path.with_name(f"{path.name}.began")
