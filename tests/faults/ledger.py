"""The rows, read and compared with what is really in the stores, in plain SQL: nothing of the product is asked."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

MARKER = ".modelpool-store"
_LONG_AGO = "2020-01-01 00:00:00+00:00"
_FILES = """
SELECT tenant_id, COALESCE(object_id, id), store, state, size_bytes FROM modelpool_artifact UNION ALL
SELECT r.tenant_id, r.id, r.store, r.state, a.size_bytes FROM modelpool_replica r
JOIN modelpool_artifact a ON a.id = r.artifact_id
"""
_UNNAMED = """
SELECT id FROM modelpool_artifact WHERE id NOT IN (
SELECT artifact_id FROM modelpool_model_version WHERE artifact_id IS NOT NULL UNION
SELECT compiled_id FROM modelpool_model_version WHERE compiled_id IS NOT NULL UNION
SELECT artifact_id FROM modelpool_dataset WHERE artifact_id IS NOT NULL)
"""
_VERSIONS = """
SELECT m.tenant_id, m.name, v.number, v.state, v.deleted_at IS NOT NULL FROM modelpool_model_version v
JOIN modelpool_model m ON m.id = v.model_id
"""
_BLOBS = "SELECT id, key, size_bytes, is_complete FROM modelpool_stored_blob"
_CHUNKS = "SELECT blob_id, SUM(LENGTH(data)) FROM modelpool_artifact_chunk GROUP BY blob_id"
_AUDIT = "SELECT tenant_id, target, action FROM modelpool_audit_event WHERE outcome = 'done' AND action IN ({})"


@dataclass(frozen=True, slots=True)
class Ledger:
    """A database by its address."""

    url: str

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.url.startswith("sqlite")

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        if not self.is_sqlite:
            with psycopg.connect(self.url) as connection:
                return list(connection.execute(statement).fetchall())
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=20)) as connection:
            return connection.execute(statement).fetchall()

    def age(self) -> None:
        """Let whatever waits for an end have waited for years."""
        for table, states in (("artifact", "'pending'"), ("replica", "'copying', 'leaving'")):
            self._write(f"UPDATE modelpool_{table} SET touched_at = '{_LONG_AGO}' WHERE state IN ({states})")
        self._write(f"UPDATE modelpool_stored_blob SET modified_at = '{_LONG_AGO}' WHERE NOT is_complete")

    def blobs(self) -> dict[str, int]:
        """Return what is in the database store, in bytes that are really there, by key."""
        sizes = {blob_id: int(size) for blob_id, size in self.rows(_CHUNKS)}
        found = {}
        for blob_id, key, _, is_complete in self.rows(_BLOBS):
            found[key if is_complete else f"unfinished {key}"] = sizes.pop(blob_id, 0)
        return found | {f"chunks of no blob {blob_id}": size for blob_id, size in sizes.items()}

    def compare(self, objects: Mapping[str, Mapping[str, int]]) -> list[str]:
        """Return what the stores have and the rows do not name, or the other way round, and rows of nothing."""
        expected: dict[str, dict[str, int]] = {store: {} for store in objects}
        faults = []
        for tenant, name, store, state, size in self.rows(_FILES):
            expected[store][f"{_hex(tenant)}/{_hex(name)}"] = size
            if state != "ready":
                faults.append(f"the file {_hex(name)} in {store} is still {state}")
        for store, found in objects.items():
            faults += _differences(store, expected[store], {key: found[key] for key in found if key != MARKER})
        return [*faults, *(f"no version has the artifact {_hex(pk)}" for (pk,) in self.rows(_UNNAMED)), *self._audit()]

    def _audit(self) -> list[str]:
        """One entry for each version that was made, and for each that was deleted, of the models that there are."""
        versions = self.rows(_VERSIONS)
        models = {(_hex(tenant), model) for tenant, model, *_ in versions}
        made = Counter((_hex(tenant), f"{model}/{number}") for tenant, model, number, _, _ in versions)
        gone = Counter((_hex(tenant), f"{model}/{number}") for tenant, model, number, state, _ in versions
                       if state == "deleted")  # fmt: skip
        faults = []
        for action, expected in (("version.register", made), ("version.delete", gone)):
            rows = [(_hex(tenant), target) for tenant, target, _ in self.rows(_AUDIT.format(f"'{action}'"))]
            noted = Counter(row for row in rows if (row[0], row[1].partition("/")[0]) in models)
            faults += [f"{action} {key} is noted {noted[key]} times, and was done {expected[key]} times"
                       for key in noted | expected if noted[key] != expected[key]]  # fmt: skip
        return faults

    def _write(self, statement: str) -> None:
        if not self.is_sqlite:
            with psycopg.connect(self.url) as connection:
                connection.execute(statement)
            return
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=20)) as connection:
            connection.execute(statement.replace("+00:00", ""))
            connection.commit()


def _differences(store: str, expected: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    faults = [f"{store} has {found[key]} bytes of {key}, which no row names" for key in found.keys() - expected.keys()]
    faults += [f"{store} lacks {key}" for key in expected.keys() - found.keys()]
    both = expected.keys() & found.keys()
    return faults + [f"{store} has {found[key]} bytes of {key}, not {expected[key]}" for key in both
                     if found[key] != expected[key]]  # fmt: skip


def _hex(value: object) -> str:
    return UUID(str(value)).hex
