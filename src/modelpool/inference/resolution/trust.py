"""What stands between a stored version and any code that parses it: its manifest, its digests and its quarantine.

All of it runs in threads, once for each route and each load, never for a prediction.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import DatabaseError

from modelpool.core.errors import ArtifactCorrupt, Quarantined, VersionNotFound
from modelpool.core.manifests import Manifest, UntrustedManifest
from modelpool.registry.manifests import verify_version
from modelpool.registry.models import ModelVersion
from modelpool.registry.quarantine import INTEGRITY, Cause, quarantine_version, refuse_version
from modelpool.storage.models import Artifact
from modelpool.storage.services import read_artifact

if TYPE_CHECKING:
    from modelpool.inference.resolution.lookup import Route

logger = logging.getLogger(__name__)

_PAUSES_S = (0.05, 0.25)  # before a store that gave wrong bytes is asked again
_MAX_REFUSED = 10_000
_WRONG_FILE = "its stored file is not the one that was signed"

_refused: set[UUID] = set()


def require_manifest(version: ModelVersion) -> Manifest:
    """Return the manifest of a version that may answer, as its maker signed it.

    A version that is not what was signed goes into quarantine. Raises :class:`Quarantined`.
    """
    if version.quarantined_at is not None and version.quarantine_code != INTEGRITY:
        raise Quarantined(version.model.name, version.number, version.quarantine_reason)
    try:
        return verify_version(version)
    except UntrustedManifest as error:
        if error.fault == "unknown_key":
            _refuse(version, str(error))
        else:
            _report(version.pk, tenant_id=version.tenant_id, cause=error.fault, reason=str(error))
        logger.error("version %s of %s is not loaded: %s", version.number, version.model.name, error)
        raise Quarantined(version.model.name, version.number, str(error)) from error


def read_signed(route: Route) -> bytes:
    """Return the file that was signed, without asking the database while all is well.

    A store that gives other bytes is asked thrice, and the database where the file is by now. Then the version goes
    into quarantine: copies in memory go on answering, nothing is loaded. Raises :class:`Quarantined`, and
    :class:`VersionNotFound` where it was deleted meanwhile, which takes its file away.
    """
    if route.quarantine:
        raise Quarantined(route.model, route.number, route.quarantine)
    tenant_id = route.key.tenant_id
    facts = {"sha256": route.sha256, "size_bytes": route.size_bytes}
    try:
        place = {"store": route.store, "object_id": route.object_id}
        return read_artifact(Artifact(pk=route.artifact_id, tenant_id=tenant_id, **place, **facts))
    except ArtifactCorrupt as error:
        wrong = error
    for pause_s in _PAUSES_S:
        time.sleep(pause_s)
        kept = Artifact.objects.for_tenant(tenant_id).filter(pk=route.artifact_id, state=Artifact.State.READY).first()
        if kept is None:
            raise VersionNotFound(route.model, route.number) from wrong
        try:
            place = {"store": kept.store, "object_id": kept.object_id}
            return read_artifact(Artifact(pk=kept.pk, tenant_id=tenant_id, **place, **facts))
        except ArtifactCorrupt as error:
            wrong = error
    logger.error("version %s of %s is not loaded: %s", route.number, route.model, _WRONG_FILE)
    _report(route.key.version_id, tenant_id=tenant_id, cause=INTEGRITY, reason=_WRONG_FILE)
    raise Quarantined(route.model, route.number, _WRONG_FILE) from wrong


def _report(version_id: UUID, *, tenant_id: UUID, cause: Cause, reason: str) -> None:
    """Write it down where the database lets us; where not, the next attempt to load finds the same again."""
    try:
        quarantine_version(version_id, tenant_id=tenant_id, cause=cause, reason=reason)
    except DatabaseError as error:
        logger.warning("a quarantine could not be written down: %s", error)


def _refuse(version: ModelVersion, reason: str) -> None:
    if version.pk in _refused or len(_refused) >= _MAX_REFUSED:
        return
    try:
        refuse_version(version.pk, tenant_id=version.tenant_id, reason=reason)
        _refused.add(version.pk)
    except DatabaseError as error:
        logger.warning("a refusal could not be written down: %s", error)
