"""Datasets on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from modelpool.api.v1.documents.texts import Title
from modelpool.http.bodies import Body
from modelpool.training.models import Dataset


class InlineDataset(Body, frozen=True):
    """A small table in the request itself."""

    columns: list[str]
    rows: list[list[Any]]
    name: Title = ""


class DatasetImport(Body, frozen=True):
    """A table from a source of the operator's: ``parameters`` of a query, or the ``object`` of a store."""

    source: str
    parameters: dict[str, Any] = {}
    object: str = ""
    name: Title = ""
    expires_at: datetime | None = None


class DatasetSource(msgspec.Struct, frozen=True):
    """Where a tenant may have datasets from; ``kind`` is ``sql`` or ``store``. Addresses and queries are not shown."""

    name: str
    kind: str
    parameters: list[str]


class DatasetSources(msgspec.Struct, frozen=True):
    """All of a tenant."""

    results: list[DatasetSource]


class DatasetChange(Body, frozen=True):
    """What of a dataset may be changed; ``expires_at`` null keeps it for good."""

    name: Title | msgspec.UnsetType = msgspec.UNSET
    expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET


class DatasetPreview(msgspec.Struct, frozen=True):
    """The first rows: cells as text, cut to 200 characters, null where missing."""

    columns: list[str]
    rows: list[list[str | None]]


class DatasetDocument(msgspec.Struct, frozen=True):
    """A stored table; ``n_rows`` and ``columns`` are null until a worker has looked at it.

    ``state`` is ``pending`` while a worker fetches it from its ``origin``, ``failed`` where that was not possible.
    ``table_bytes`` is the size of the Parquet file that training reads, null where it reads the original.
    """

    id: UUID
    name: str
    format: str
    size_bytes: int
    sha256: str
    n_rows: int | None
    columns: list[Any] | None
    warning: str | None
    state: str
    origin: dict[str, Any] | None
    table_bytes: int | None
    expires_at: datetime | None
    created_at: datetime
    created_by: str


def present_dataset(dataset: Dataset) -> DatasetDocument:
    """Return the dataset as it stands on the wire."""
    return DatasetDocument(
        id=dataset.pk,
        name=dataset.name,
        format=dataset.format,
        size_bytes=dataset.size_bytes,
        sha256=dataset.sha256,
        n_rows=dataset.n_rows,
        columns=dataset.columns,
        warning=dataset.warning or None,
        state=dataset.state,
        origin=dataset.origin,
        table_bytes=dataset.table.size_bytes if dataset.table is not None else None,
        expires_at=dataset.expires_at,
        created_at=dataset.created_at,
        created_by=dataset.created_by,
    )


def present_datasets(datasets: Iterable[Dataset]) -> list[DatasetDocument]:
    """Return a list's rows."""
    return [present_dataset(dataset) for dataset in datasets]
