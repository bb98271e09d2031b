"""Versions on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from modelpool.api.v1.documents.texts import Tags
from modelpool.http.bodies import Body
from modelpool.monitoring.models import LoadedVersion
from modelpool.monitoring.querysets import requests_lately, where_loaded
from modelpool.registry.copying import origin_of
from modelpool.registry.models import ModelVersion
from modelpool.registry.querysets import aliases_of_versions


class VersionChanges(Body, frozen=True):
    """What may change of a version; everything else is immutable."""

    description: str | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


class QuarantineDocument(msgspec.Struct, frozen=True):
    """Why a version is not loaded; ``cause`` is for programs. ``trust`` is what its maker signed."""

    reason: str
    at: datetime
    cause: str
    trust: str


class OriginDocument(msgspec.Struct, frozen=True):
    """What a version was copied from, by the names of then; ``trust`` is what the first of a row of copies had."""

    tenant: str
    model: str
    version: int
    trust: str


class LoadedDocument(msgspec.Struct, frozen=True):
    """A version in the memory of one web process, as that told a few seconds ago."""

    node: str
    pid: int
    size_bytes: int
    since: datetime


class VersionDocument(msgspec.Struct, frozen=True, omit_defaults=False):
    """A version; ``figures`` is there where ``?include=figures`` asks for it.

    ``loaded`` says in which processes it is in memory now and ``requests_last_30_days`` how often it answered, both of
    a version that is asked for by itself.
    """

    tenant: str
    model: str
    number: int
    state: Literal["pending", "ready", "failed", "deleted"]
    active: bool
    aliases: Sequence[str]
    description: str
    format: str
    serving_format: str
    trust: str
    quarantine: QuarantineDocument | None
    parity: dict[str, Any] | None
    signature: dict[str, Any]
    metrics: dict[str, float | None]
    primary_metric: str | None
    params: dict[str, Any]
    tags: dict[str, str]
    libraries: dict[str, Any]
    size_bytes: int
    sha256: str
    store: str
    job: UUID | None
    dataset: UUID | None
    copied_from: OriginDocument | None
    created_at: datetime
    created_by: str
    loaded: list[LoadedDocument] | UnsetType = UNSET
    requests_last_30_days: int | UnsetType = UNSET
    figures: Mapping[str, Any] | UnsetType = UNSET


def present_version(version: ModelVersion, *, with_figures: bool = False) -> VersionDocument:
    """Return the version as it stands on the wire; its model must be as fresh as it is, for it says which is active."""
    document = present_versions([version], with_figures=with_figures)[0]
    loaded = [_loaded(row) for row in where_loaded([version])[version.pk]]
    return msgspec.structs.replace(document, loaded=loaded, requests_last_30_days=requests_lately(version))


def present_versions(versions: Sequence[ModelVersion], *, with_figures: bool = False) -> list[VersionDocument]:
    """Return a list's rows, with one query for all aliases; figures that are not asked for need not be loaded."""
    aliases = aliases_of_versions(versions)
    return [_document(version, aliases=aliases[version.pk], with_figures=with_figures) for version in versions]


def _document(version: ModelVersion, *, aliases: Sequence[str], with_figures: bool) -> VersionDocument:
    same = {name: getattr(version, name) for name in _SAME_NAMES}
    return VersionDocument(
        **same,
        tenant=version.tenant.name,
        model=version.model.name,
        active=version.model.active_version_id == version.pk,
        aliases=aliases,
        trust=version.trust_level,
        quarantine=_quarantine_of(version),
        primary_metric=version.primary_metric or None,
        store=version.artifact.store if version.artifact else "",
        job=version.job_id,
        dataset=version.dataset_id,
        copied_from=_origin_of(version),
        figures=version.figures if with_figures else UNSET,
    )


def _loaded(row: LoadedVersion) -> LoadedDocument:
    return LoadedDocument(row.process.node, row.process.pid, row.size_bytes, row.since)


def _origin_of(version: ModelVersion) -> OriginDocument | None:
    origin = origin_of(version)
    return None if origin is None else OriginDocument(origin.tenant, origin.model, origin.number, origin.trust)


def _quarantine_of(version: ModelVersion) -> QuarantineDocument | None:
    if version.quarantined_at is None:
        return None
    return QuarantineDocument(
        reason=version.quarantine_reason,
        at=version.quarantined_at,
        cause=version.quarantine_code,
        trust=version.trust,
    )


_OWN_NAMES = {
    "tenant", "model", "active", "aliases", "trust", "quarantine",
    "primary_metric", "store", "job", "dataset", "copied_from",
    "loaded", "requests_last_30_days", "figures",
}  # fmt: skip
_SAME_NAMES = [name for name in VersionDocument.__struct_fields__ if name not in _OWN_NAMES]
