"""Nothing reads tenants' tables without saying whose rows are wanted, but the admin's querysets and maintenance."""

from __future__ import annotations

import ast

from tests.house.source import SourceFile, package_files

# Who may, and why. Each entry is one file; a folder ends with a slash.
_MAY_READ_UNSCOPED = {
    "src/modelpool/tenants/": "defines it, and looks keys up by digest before the tenant is known",
    "src/modelpool/console/": "operators' pages of all tenants, and the list of a person's own; see console/pages.py",
    "src/modelpool/storage/sweeping.py": "maintenance: the sweep compares whole stores with whole tables",
    "src/modelpool/storage/replicas.py": "maintenance: the sweep removes copies that were left, whoever's they are",
    "src/modelpool/storage/unfinished.py": "maintenance: the sweep drops expired uploads, whoever's they are",
    "src/modelpool/storage/verifying.py": "maintenance: reads all that is stored",
    "src/modelpool/storage/marks.py": "maintenance: whether a store was ever written to",
    "src/modelpool/training/queue.py": "the job worker: takes the next job whoever's it is",
    "src/modelpool/training/fetching.py": "the job worker: fetches the next dataset whoever's it is",
    "src/modelpool/training/retention.py": "the job worker: deletes expired datasets of all tenants",
    "src/modelpool/training/profiling.py": "the job worker: profiles the next dataset whoever's it is",
    "src/modelpool/registry/resigning.py": "maintenance: signs versions, whoever's they are",
    "src/modelpool/server/doctor/database.py": "modelpool doctor: looks at the whole installation",
    "src/modelpool/inference/resolution/lookup.py": "preloading: the active versions of all tenants",
    "src/modelpool/monitoring/services.py": "web processes write what they hold and who was used, whoever's it is",
    "src/modelpool/monitoring/history.py": "web processes write how much versions are asked, whoever's they are",
    "src/modelpool/monitoring/querysets.py": "the operators' page of what is loaded where",
    "src/modelpool/inference/resolution/principals.py": "notes when keys were last used, by digest",
}


def test_unscoped_is_used_by_admin_and_maintenance_only():
    used = [f"{file.path}:{line}" for file in package_files() if not _is_allowed(file) for line in _unscoped(file)]
    assert used == []


def test_no_exception_is_stale():
    users = {file.path for file in package_files() if _unscoped(file)}
    stale = [allowed for allowed in _MAY_READ_UNSCOPED if not any(path.startswith(allowed) for path in users)]
    assert stale == []


def _is_allowed(file: SourceFile) -> bool:
    return file.is_migration or any(file.path.startswith(allowed) for allowed in _MAY_READ_UNSCOPED)


def _unscoped(file: SourceFile) -> list[int]:
    reads = [node.lineno for node in file.attributes() if node.attr in ("unscoped", "_base_manager")]
    by_name = [
        node.lineno
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr" and "unscoped" in ast.unparse(node)
    ]
    return reads + by_name
